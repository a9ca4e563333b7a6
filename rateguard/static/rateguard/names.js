// A field that finds rows while one types is drawn by select2, which does not tell its name to those who cannot see it: the label does.
function nameFields() {
  for (const field of document.querySelectorAll("select.admin-autocomplete")) {
    const label = document.querySelector(`label[for="${field.id}"]`);
    const drawn = field.parentElement.querySelector(".select2-selection");
    if (!label || !drawn || drawn.dataset.named) continue;
    label.id = label.id || `${field.id}_label`;
    drawn.dataset.named = "yes";
    drawn.setAttribute("aria-labelledby", `${label.id} select2-${field.id}-container`);
    drawn.querySelector("[role=textbox]")?.setAttribute("aria-labelledby", label.id);
  }
}
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(nameFields).observe(document.body, { childList: true, subtree: true });
  nameFields();
});
