/** What the page calls the options of the package, and how it says the package's errors. */

/** The page's label of each option, by the name that the package gives it. */
export type Labels = Readonly<Record<string, string>>;

/** Return the labels of a page. */
export function labelsOf(ofWords: boolean): Labels {
    return {
        prefix: "Starts with",
        suffix: "Ends with",
        temperature: "Temperature",
        minLength: ofWords ? "Fewest words" : "Shortest",
        maxLength: ofWords ? "Most words" : "Longest",
        avoid: "Without",
        unique: ofWords ? "Each text once" : "Each name once",
        novel: "None from its list",
        seed: "Seed",
    };
}

// What is quoted is somebody's text. Some names are words of sentences too: "shorter strings to avoid".
const QUOTED_OR_OPTION =
    /(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b(?:minLength|maxLength)\b|\b(?:prefix|suffix|temperature|avoid|unique|novel|seed)\b(?= must\b| would\b| and avoid\b|:| ['"\d])/g;

/** Return an error's message with labels for the names of options, and without those that the page lacks. */
export function told(message: string, labels: Labels): string {
    return message
        .replace(/^gave up after .* accepted: 0, .*/, "none could be found with these options; loosen them")
        .replace(/^gave up after .*/, "no others could be found with these options")
        .replace(/ not (-?\d+)n$/, " not $1")
        .replace(/^where: |topK, topP and (?=a low)/, "")
        .replace("temperature=0 and topK=1 give", "temperature 0 gives")
        .replace(QUOTED_OR_OPTION, (found) => (found in labels ? `“${labels[found]}”` : found));
}
