// The command line's entry. In: the words behind `./pixart`. Out: an exit status; see `program.ts` for what the words mean.

import { runProgram } from "./program.ts";

// An explicit exit, since a WebGPU implementation may keep the process alive after its last use.
if (import.meta.main) Deno.exit(await runProgram(Deno.args));
