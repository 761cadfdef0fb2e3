// The search over any page: Ctrl-K opens it, and “/” where no list takes that for its own search;
// arrows walk through what is found.
// Without it, the sidebar's link leads to the same search as a page.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector("[data-find]");
  if (!box) return;
  const input = box.querySelector("input[type=search]");
  const found = box.querySelector("[data-found]");
  let asked = 0;
  let timer;

  async function ask() {
    const mine = ++asked;
    const query = input.value.trim();
    if (!query) return found.replaceChildren();
    const address = new URL(input.form.action);
    address.search = new URLSearchParams({ q: query, part: "1" });
    const answer = await fetch(address);
    if (mine !== asked) return undefined; // a later question is on its way
    if (!answer.ok || answer.redirected) return window.location.reload(); // signed out
    found.innerHTML = await answer.text();
    return undefined;
  }

  function open(event) {
    event.preventDefault();
    box.showModal();
    input.select();
  }

  function isTyping(element) {
    return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
  }

  if (/Mac|iP/.test(navigator.platform)) {
    document.querySelectorAll("[data-find-open] kbd").forEach((key) => {
      key.textContent = "⌘ K";
    });
  }
  document.addEventListener("keydown", (event) => {
    const isCommand = event.key === "k" && (event.metaKey || event.ctrlKey);
    const isSlash =
      event.key === "/" && !isTyping(event.target) && !document.getElementById("searchbar");
    if ((isCommand || isSlash) && !box.open) open(event);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-find-open]") && !event.ctrlKey && !event.metaKey) open(event);
    if (event.target === box) box.close(); // beside it
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 120);
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const stops = [input, ...found.querySelectorAll("a")];
    const next = stops.indexOf(document.activeElement) + step;
    stops[(next + stops.length) % stops.length].focus();
  });
});

// The theme's search field above a list says what it is for only until one types.
document.addEventListener("DOMContentLoaded", () => {
    const field = document.getElementById("searchbar");
    field?.setAttribute("aria-label", field.placeholder);
});
