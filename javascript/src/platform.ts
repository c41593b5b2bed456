/**
 * The types of the platform's classes in the package's interface, so that a project needs the types of neither the DOM nor
 * Node: where there are none, what is said here stands for them.
 */

/** A `URL`. */
export type Address = typeof globalThis extends { URL: { prototype: infer T } } ? T : { readonly href: string };

/** An `AbortSignal`. */
export type Signal = typeof globalThis extends { AbortSignal: { prototype: infer T } }
    ? T
    : { readonly aborted: boolean };
