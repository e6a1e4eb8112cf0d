// Applies the chosen colour theme before the first paint; a module would come too late for that.
// "auto" follows prefers-color-scheme. Wired to the switch in main.js by the change event.
"use strict";
(() => {
  const key = "packice-demo-theme";
  const apply = (/** @type {string} */ theme) => {
    document.documentElement.dataset.theme = theme;
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem(key) ?? "auto";
  } catch {
    // Storage may be switched off; the switch then holds for this visit only.
  }
  apply(theme);
  addEventListener("DOMContentLoaded", () => {
    const field = document.getElementById("theme");
    for (const input of field?.querySelectorAll("input") ?? []) {
      input.checked = input.value === theme;
    }
    field?.addEventListener("change", (event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      apply(input.value);
      try {
        localStorage.setItem(key, input.value);
      } catch {
        // As above.
      }
    });
  });
})();
