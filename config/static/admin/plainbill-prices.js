// A draft's prices: show the fields that the chosen way of charging uses, and keep what was typed
// when a row above is removed. Without it every field is there, and the server checks them all.
"use strict";

(() => {
  const TIERED = ["graduated", "volume"];
  const AMOUNT = {
    flat: "Fee",
    per_unit: "Price of one unit",
    package: "Price of one package",
    matrix: "Price of all other units",
  };
  const PER_EVENT = ["percent_rate", "fixed_amount", "free_events", "per_event_minimum", "per_event_maximum"];

  const priceOf = (element) => element.closest(".form-group.group\\/parent, .form-group");
  const field = (price, name) => price.querySelector(`:scope > .form-row [name$="-${name}"]`);

  function show(price, name, wanted) {
    const input = field(price, name);
    const row = input?.closest(".field-line") ?? input?.parentElement?.parentElement;
    row?.classList.toggle("pb-hidden", !wanted);
    if (input && !wanted && ["INPUT", "TEXTAREA"].includes(input.tagName)) {
      input.value = name === "included_quantity" ? "0" : "";
    }
    if (input && !wanted && name === "metric") input.value = "";
  }

  function arrange(price) {
    const model = field(price, "model")?.value;
    if (model === undefined) return;
    const tiered = TIERED.includes(model);
    const percentage = model === "percentage";
    show(price, "unit_amount", !tiered && !percentage);
    show(price, "rows", model === "matrix");
    PER_EVENT.forEach((name) => show(price, name, percentage));
    show(price, "package_size", model === "package");
    show(price, "metric", model !== "flat");
    show(price, "filters", model !== "flat");
    const agreed = model === "per_unit" && !field(price, "metric")?.value;
    show(price, "unit", agreed);
    show(price, "unit_plural", agreed);
    show(price, "included_quantity", model !== "flat" && !percentage);
    show(price, "overage_policy", model !== "flat" && !percentage);
    price.querySelector(":scope > .form-nested")?.classList.toggle("pb-hidden", !tiered);
    const label = price.querySelector(":scope > .form-row label[for$='-unit_amount']");
    if (label && AMOUNT[model]) label.textContent = AMOUNT[model];
  }

  // A key follows its name until somebody writes one.
  function nameKey(input) {
    const key = field(priceOf(input), "key");
    if (!key || (key.value && key.dataset.follows === undefined)) return;
    key.dataset.follows = "";
    key.value = input.value.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "").slice(0, 40);
  }

  function arrangeAll() {
    document.querySelectorAll("select[name^='prices-'][name$='-model']").forEach((select) => {
      if (!select.name.includes("__prefix__")) arrange(priceOf(select));
    });
  }

  // Rows below a removed one are rewritten from their HTML, which does not know what was typed.
  function keepTyped(formset) {
    formset.querySelectorAll("input, select, textarea").forEach((input) => {
      if (input.tagName === "SELECT") {
        for (const option of input.options) option.toggleAttribute("selected", option.selected);
      } else if (input.tagName === "TEXTAREA") {
        input.textContent = input.value;
      } else if (["checkbox", "radio"].includes(input.type)) {
        input.toggleAttribute("checked", input.checked);
      } else {
        input.setAttribute("value", input.value);
      }
    });
  }

  document.addEventListener("click", (event) => {
    const bin = event.target.closest(".delete-template");
    if (bin) keepTyped(bin.closest("#prices-data") ?? document);
  }, true);

  document.addEventListener("change", (event) => {
    if (/^prices-\d+-(model|metric)$/.test(event.target.name ?? "")) arrange(priceOf(event.target));
  });

  document.addEventListener("input", (event) => {
    const name = event.target.name ?? "";
    if (/^prices-\d+-name$/.test(name)) nameKey(event.target);
    if (/^prices-\d+-key$/.test(name)) delete event.target.dataset.follows;
  });

  document.addEventListener("formset:removed", () => {
    // The rewritten rows lost the listeners of their buttons.
    document.querySelectorAll("#prices-data .add-row").forEach((link) => {
      link.removeEventListener("click", addInlineTemplateHandler);
      link.addEventListener("click", addInlineTemplateHandler);
    });
    arrangeAll();
  });
  document.addEventListener("formsetGroup:added", () => setTimeout(arrangeAll));
  document.addEventListener("DOMContentLoaded", arrangeAll);
})();
