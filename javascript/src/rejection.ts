/** Which drawn names are rejected, and how many rejections in a row end a stream. */

import { GenerationError, grouped } from "./errors.js";
import type { Plan } from "./options.js";
import { nfc } from "./text.js";

const PATIENCE = 10_000;

/** At one name, after which it is given up. */
export const MAX_ATTEMPTS = 1 << 14;

/** Why a name is rejected: by its number from 1 on. */
export const REASONS = ["constraints", "not NFC", "exclude", "novel"] as const;
export const UNMET = 1;

/**
 * Return why a name that meets the constraints is rejected, or 0 if it passes.
 *
 * Names that are not in NFC are rejected, because encoding them again would give other symbols.
 */
export function reasonOf(name: string, { exclude, known }: Plan, mayCompose: boolean): number {
    if (mayCompose && nfc(name) !== name) {
        return 2;
    }
    return exclude.has(name) ? 3 : known?.has(name) ? 4 : 0;
}

/** Takes the names of a stream in index order, drops repeats if the options say so, and counts. */
export class Acceptance {
    private readonly seen = new Set<string>();
    private readonly rejected = new Map<string, number>();
    private inARow = 0; // attempts and repeats
    private accepted = 0;

    constructor(private readonly plan: Plan) {}

    /**
     * Return whether to keep a name.
     *
     * @param rejected - number of rejected attempts at it, by reason from 0 on.
     * @throws {@link GenerationError} after too many rejections in a row.
     */
    accept(name: string, rejected: readonly number[]): boolean {
        this.count(rejected);
        if (!this.plan.unique) {
            this.accepted++;
            return true;
        }
        if (!this.seen.has(name)) {
            this.seen.add(name);
            this.accepted++;
            this.inARow = 0;
            return true;
        }
        this.add("unique", 1);
        this.inARow += 1 + sum(rejected.slice(UNMET));
        if (this.inARow > (this.plan.constant ? 0 : PATIENCE + this.accepted)) {
            throw this.error();
        }
        return false;
    }

    /** Return the error after a name that cannot be found. */
    missing(rejected: readonly number[]): GenerationError {
        this.count(rejected);
        this.inARow += sum(rejected);
        return this.error();
    }

    private count(rejected: readonly number[]): void {
        for (let i = 0; i < rejected.length; i++) {
            if (rejected[i]) {
                this.add(REASONS[i], rejected[i]);
            }
        }
    }

    private add(reason: string, count: number): void {
        this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + count);
    }

    private error(): GenerationError {
        const { accepted, inARow } = this;
        const rejected = Object.fromEntries([...this.rejected].sort());
        const candidates = accepted + sum(Object.values(rejected));
        const counts = Object.entries(rejected).map(([reason, count]) => `${reason} ${grouped(count)}`);
        const what = inARow === 1 ? "candidate" : "candidates";
        return new GenerationError(
            `gave up after ${grouped(inARow)} rejected ${what} in a row; ${grouped(candidates)} in total, ` +
                `accepted: ${grouped(accepted)}, rejected: ${counts.join(", ")}; ask for fewer names or loosen the options`,
            { candidates, accepted, rejected },
        );
    }
}

function sum(numbers: readonly number[]): number {
    return numbers.reduce((a, b) => a + b, 0);
}
