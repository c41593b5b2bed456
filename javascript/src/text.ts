/** What text may be: normal forms, white space, and the characters that names may not hold. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are white space too.
const WHITE_SPACE = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

// Control characters, line and paragraph separators, surrogates, replacement characters and noncharacters.
const FORBIDDEN = /[\p{Cc}\u2028\u2029\p{Cs}\ufffc\ufffd\p{Noncharacter_Code_Point}]/u;

/** Return a text in NFC. */
export function nfc(text: string): string {
    return text.normalize("NFC");
}

/** Return the words of a text; white space at its ends counts for nothing. */
export function words(text: string): string[] {
    return text.split(WHITE_SPACE).filter(Boolean);
}

/** Return whether a text holds a character that is not allowed in a name. */
export function isForbidden(text: string): boolean {
    return FORBIDDEN.test(text);
}

/** Return whether a text holds half of a surrogate pair, which no UTF-8 can encode. */
export function isBroken(text: string): boolean {
    return /\p{Cs}/u.test(text);
}
