/** Uses the package with what the platform has: `URL` and `AbortSignal` are what the DOM, or Node, says they are. */

import { generate, type HubOptions, load, type ModelSource } from "sequentia";
import { use } from "./user.mjs";

const address: ModelSource = new URL("https://example.org/model/");
const hub: HubOptions = { signal: AbortSignal.timeout(1000) };

export async function download(): Promise<void> {
    await load(address, hub);
    hub.signal?.throwIfAborted();
    console.log(await generate(1, { model: new URL("https://example.org/model/") }), await use());
}

// @ts-expect-error: a signal can stop a download
export const wrong: HubOptions = { signal: { aborted: false } };
