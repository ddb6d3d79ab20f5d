"use strict";
const search = document.getElementById("search");
const boxes = [...document.querySelectorAll(".filters input[type=checkbox]")];
const rows = [...document.querySelectorAll("#handlers tbody tr")];
function filter() {
  const words = search.value.toLowerCase();
  const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let count = 0;
  for (const row of rows) {
    row.hidden = !wanted.has(row.dataset.status) || !row.textContent.toLowerCase().includes(words);
    count += !row.hidden;
  }
  document.getElementById("shown").textContent = count + " of " + rows.length + " shown";
}
search.addEventListener("input", filter);
boxes.forEach((box) => box.addEventListener("change", filter));
document.querySelector(".filters").hidden = false;
filter();
async function copy(button) {
  await navigator.clipboard.writeText(button.previousElementSibling.textContent);
  button.textContent = "Copied";
}
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => copy(button));
}
