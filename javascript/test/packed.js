/** The package as npm would install it, in a folder of its own. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

/** Return a new folder whose `node_modules` holds the packed package and some of those that are installed here. */
export function installed(...others) {
    const folder = mkdtempSync(join(tmpdir(), "sequentia-"));
    const target = join(folder, "node_modules", "sequentia");
    mkdirSync(target, { recursive: true });
    const pack = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
    const file = execFileSync("npm", pack, { cwd: PACKAGE, encoding: "utf8" }).trim();
    execFileSync("tar", ["-xzf", join(folder, file), "-C", target, "--strip-components=1"]);
    for (const other of others) {
        symlinkSync(join(PACKAGE, "node_modules", other), join(folder, "node_modules", other));
    }
    return folder;
}

/** Remove a folder. */
export function remove(folder) {
    rmSync(folder, { recursive: true, force: true });
}
