// Draws the sample invoice again whenever the form beside it changes.
(function () {
  "use strict";
  var frame = document.querySelector("[data-preview]");
  var form = frame && document.querySelector("form[method=post][id$=_form]");
  if (!form) return;
  var waiting, asked = 0;

  function draw() {
    var mine = ++asked;
    fetch(frame.dataset.preview, { method: "POST", body: new FormData(form), credentials: "same-origin" })
      .then(function (answer) { return answer.ok ? answer.text() : ""; })
      .then(function (page) { if (page && mine === asked) frame.srcdoc = page; })
      .catch(function () {});
  }

  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 400);
  }

  form.addEventListener("input", later);
  form.addEventListener("change", later);
})();
