/** A user's TypeScript file is checked against the packed package, as their project would check it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { installed, remove } from "./packed.js";

const TSC = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
const folder = installed();
after(() => remove(folder));
copyFileSync(new URL("types/user.ts", import.meta.url), join(folder, "user.mts"));

for (const [resolution, module] of [
    ["bundler", "esnext"],
    ["nodenext", "nodenext"],
]) {
    test(`types with moduleResolution ${resolution}`, () => {
        const options = ["--strict", "--noEmit", "--target", "es2022", "--module", module];
        const given = [TSC, ...options, "--moduleResolution", resolution, "--types", "", "user.mts"];
        const { status, stdout } = spawnSync(process.execPath, given, { cwd: folder, encoding: "utf8" });
        assert.equal(status, 0, stdout);
    });
}
