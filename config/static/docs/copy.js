// A button in each command that copies it. Without JavaScript, the command is there all the same.
"use strict";
if (navigator.clipboard) {
    for (const block of document.querySelectorAll("pre[data-run]")) {
        const command = block.textContent.trim() + "\n";
        const button = document.createElement("button");
        button.type = "button";
        button.className = "copy";
        button.textContent = "Copy";
        button.addEventListener("click", async () => {
            await navigator.clipboard.writeText(command);
            button.textContent = "Copied";
            setTimeout(() => { button.textContent = "Copy"; }, 2000);
        });
        block.prepend(button);
    }
}
