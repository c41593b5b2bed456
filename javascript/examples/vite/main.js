import { load } from "sequentia";

const model = await load(); // Vite puts the model's files among the app's assets
const names = model.generate(10, { seed: 42 });
document
    .getElementById("names")
    .replaceChildren(...names.map((name) => Object.assign(document.createElement("li"), { textContent: name })));
