// The worked example beside a draft's form: say "pb-typed" whenever something of the form changed,
// whoever changed it (a key, a menu, a row that came or went); htmx waits and asks once.
"use strict";

(() => {
  const say = () => document.body.dispatchEvent(new CustomEvent("pb-typed"));

  document.addEventListener("DOMContentLoaded", () => {
    const live = document.getElementById("pb-live");
    const form = document.getElementById("planversion_form");
    if (!live || !form) return;
    form.addEventListener("input", say);
    form.addEventListener("change", say);
    document.getElementById("pb-own").addEventListener("input", say);
    // Menus with a search field tell jQuery alone.
    if (window.django?.jQuery) window.django.jQuery(form).on("change", "select", say);
    for (const event of ["formset:added", "formset:removed", "formsetGroup:added"])
      document.addEventListener(event, say);
    const worked = document.getElementById("pb-live-worked");
    live.addEventListener("htmx:beforeRequest", () => worked.setAttribute("aria-busy", "true"));
    live.addEventListener("htmx:afterRequest", (event) => {
      worked.setAttribute("aria-busy", "false");
      live.classList.toggle("pb-live-stale", !event.detail.successful && event.detail.xhr.status !== 0);
    });
  });
})();
