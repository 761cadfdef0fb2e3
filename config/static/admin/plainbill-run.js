// A running billing run: show how far it is, and where no worker does it, drive it from this page.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector("[data-run-progress]");
  if (!box) return;
  const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
  const isRunning = () => box.querySelector("[data-running]") !== null;

  async function goOn() {
    const form = document.querySelector("[data-run-continue]");
    if (!form || box.dataset.drivenHere !== "yes") return wait(2);
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      redirect: "manual",
    });
    if (!answer.ok && answer.type !== "opaqueredirect") throw new Error("the run did not go on");
    return undefined;
  }

  async function follow() {
    while (isRunning()) {
      try {
        await goOn();
        const answer = await fetch(box.dataset.runProgress, { headers: { Accept: "text/html" } });
        if (!answer.ok || answer.redirected) return;
        box.innerHTML = await answer.text();
      } catch {
        await wait(5); // the server is away: it may come back
      }
    }
    window.location.reload(); // once, for the buttons of a finished run
  }

  if (isRunning()) follow();
});
