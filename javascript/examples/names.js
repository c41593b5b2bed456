/** Print names that a seed always gives: `node names.js [COUNT] [SEED]`. */

import { generate } from "sequentia";

const [count = "10", seed = "42"] = process.argv.slice(2);
const names = await generate(Number(count), {
    seed: /^\d+$/.test(seed) ? BigInt(seed) : seed, // a number and a text are different seeds, as in Python
    unique: true,
});
console.log(names.join("\n"));
