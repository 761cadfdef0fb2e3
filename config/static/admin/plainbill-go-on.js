// Work that takes several pages: the page sends itself for the next part.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  document.querySelector("form[data-go-on]")?.submit();
});
