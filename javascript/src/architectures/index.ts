/**
 * The kinds of models, one file each: the part of `config.json` that describes a model's structure.
 *
 * To add a kind, add a file here and a member to {@link ARCHITECTURES}.
 */

import type { Kind } from "./base.js";
import { bigram } from "./bigram.js";
import { gru } from "./gru.js";
import { mlp } from "./mlp.js";
import { ngram } from "./ngram.js";

export type { Architecture, Kind } from "./base.js";

/** The registry of kinds; a `config.json` with any other `model` is an error. */
export const ARCHITECTURES: readonly Kind[] = [mlp, bigram, ngram, gru];
