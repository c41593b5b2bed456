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
for (const name of ["user", "platform"]) {
    copyFileSync(new URL(`types/${name}.ts`, import.meta.url), join(folder, `${name}.mts`));
}

for (const [resolution, module, lib, file] of [
    ["bundler", "esnext", "es2022,dom,dom.iterable", "platform.mts"],
    ["nodenext", "nodenext", "es2022,dom,dom.iterable", "platform.mts"],
    ["bundler", "esnext", "es2022", "user.mts"],
    ["nodenext", "nodenext", "es2022", "user.mts"],
]) {
    test(`types with moduleResolution ${resolution}, and of the platform those of ${lib}`, () => {
        const options = ["--strict", "--noEmit", "--target", "es2022", "--lib", lib, "--module", module];
        const given = [TSC, ...options, "--moduleResolution", resolution, "--types", "", file];
        const { status, stdout } = spawnSync(process.execPath, given, { cwd: folder, encoding: "utf8" });
        assert.equal(status, 0, stdout);
    });
}
