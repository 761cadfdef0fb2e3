// Subscribing: ask only for the quantities that the chosen plan counts.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const plan = document.querySelector("select[name='plan_version']");
  const fieldset = document.querySelector(".plainbill-quantities");
  if (!plan || !fieldset) return;
  const counted = JSON.parse(plan.dataset.quantities);

  function arrange() {
    const wanted = counted[plan.value] ?? [];
    fieldset.classList.toggle("pb-hidden", wanted.length === 0);
    fieldset.querySelectorAll("input[name^='quantity_']").forEach((input) => {
      const row = input.closest(".form-row, .field-row") ?? input.parentElement.parentElement;
      row.classList.toggle("pb-hidden", !wanted.includes(input.name));
    });
  }

  // select2 announces its changes through jQuery only
  (window.django?.jQuery ?? window.jQuery)(plan).on("change", arrange);
  arrange();
});
