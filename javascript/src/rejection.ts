/** Which drawn names are rejected, and how many rejections in a row end a stream. */

import { GenerationError, grouped } from "./errors.js";
import { crc32 } from "./novelty.js";
import type { Plan } from "./options.js";
import { nfc } from "./text.js";

const PATIENCE = 10_000;
const REASONS = ["unique", "constraints", "not NFC", "exclude", "novel"];

/** At one name, after which it is given up. */
export const MAX_ATTEMPTS = 1 << 14;

/** The reason that an attempt does not meet the constraints. */
export const UNMET = 1;

/**
 * Return the number of the reason why a name that meets the constraints is rejected, or 0 if it passes.
 *
 * Names that are not in NFC are rejected, because encoding them again would give other symbols.
 */
export function reasonOf(name: string, { exclude, known }: Plan, mayCompose: boolean): number {
    if (mayCompose && nfc(name) !== name) {
        return 2;
    }
    return exclude.has(name) ? 3 : known?.has(crc32(name)) ? 4 : 0;
}

/** Takes the attempts at the names of a stream in their order, drops repeats if the options say so, and counts. */
export class Acceptance {
    private readonly seen = new Set<string>();
    private readonly rejected = REASONS.map(() => 0);
    private accepted = 0;
    private inARow = 0; // repeats, and attempts at them
    private unmet = 0; // attempts at this name that did not meet the constraints
    private attempts = 0; // others at this name that were rejected

    constructor(private readonly plan: Plan) {}

    /** Count a rejected attempt at the next name. */
    reject(reason: number): void {
        this.rejected[reason]++;
        if (reason === UNMET) {
            this.unmet++;
        } else {
            this.attempts++;
        }
    }

    /**
     * Return whether to keep a name.
     *
     * @throws {@link GenerationError} after too many rejections in a row.
     */
    accept(name: string): boolean {
        const { unique, constant } = this.plan;
        const isRepeat = unique && this.seen.has(name);
        if (isRepeat) {
            this.rejected[0]++;
            this.inARow += 1 + this.attempts;
            if (this.inARow > (constant ? 0 : PATIENCE + this.accepted)) {
                throw this.error();
            }
        } else {
            this.accepted++;
            this.inARow = 0;
            if (unique) {
                this.seen.add(name);
            }
        }
        this.unmet = this.attempts = 0;
        return !isRepeat;
    }

    /** Return the error after a name that cannot be found. */
    missing(): GenerationError {
        this.inARow += this.unmet + this.attempts;
        return this.error();
    }

    private error(): GenerationError {
        const { accepted, inARow } = this;
        const counts = REASONS.map((reason, i) => [reason, this.rejected[i]] as const).filter(([, count]) => count);
        const rejected = Object.fromEntries(counts);
        const candidates = counts.reduce((sum, [, count]) => sum + count, accepted);
        return new GenerationError(
            `gave up after ${grouped(inARow)} rejected candidate${inARow === 1 ? "" : "s"} in a row; ` +
                `${grouped(candidates)} in total, accepted: ${grouped(accepted)}, rejected: ` +
                `${counts.map(([reason, count]) => `${reason} ${grouped(count)}`).join(", ")}; ` +
                "ask for fewer names or loosen the options",
            { candidates, accepted, rejected },
        );
    }
}
