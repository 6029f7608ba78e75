// `pixart verify`: components beside numbers that were recorded elsewhere. In: folders. Out: a table of errors, and whether all
// of them pass.

import { UsageError } from "../errors.ts";
import type { Backend } from "../gpu/backend.ts";
import type { Device } from "../gpu/device.ts";
import { exists } from "../io/byte_source.ts";
import { type OutputReport, verifyFolder, type VerifyOptions, type VerifyReport } from "../verify/verify.ts";
import { cancellable } from "./cancel.ts";
import { EXIT, type Output, tellError } from "./output.ts";
import { formatTable } from "./table.ts";
import { chooseTiles } from "./tuned_device.ts";

/** The options of the command line, by their long names. */
export interface VerifyFlags {
  tolerance?: number;
  dtype?: VerifyOptions["dtype"];
  backend?: Backend;
  debug?: boolean;
}

/** A folder that could not be verified at all. */
export interface VerifyFailure {
  folder: string;
  ok: false;
  error: { kind: string; message: string };
}

/**
 * Verifies folders one after another, also when one of them fails.
 *
 * @returns The exit status.
 * @throws {UsageError} when a folder is not there.
 */
export async function verify(folders: readonly string[], flags: VerifyFlags, output: Output): Promise<number> {
  for (const folder of folders) {
    if (!await exists(folder)) throw new UsageError(`Cannot verify ${folder} as it must be a folder: nothing is there`);
  }
  const reports = await cancellable("verify", async (signal) => {
    const reports: (VerifyReport | VerifyFailure)[] = [];
    for (const folder of folders) {
      let report: VerifyReport | VerifyFailure;
      try {
        const { tolerance, dtype, backend } = flags;
        const onProgress = (text: string) => output.log(`${folder}: ${text}`);
        const onWarning = (text: string) => output.log(`warning: ${text}`);
        const onDevice = (device: Device) => chooseTiles(device, onWarning);
        report = await verifyFolder(folder, { tolerance, dtype, backend, signal, onProgress, onWarning, onDevice });
        print(report, output);
      } catch (error) {
        if (signal.aborted) throw error;
        const { kind, message } = tellError(error);
        output.log(message);
        if (flags.debug) console.error(error);
        report = { folder, ok: false, error: { kind, message } };
      }
      reports.push(report);
    }
    return reports;
  });
  const ok = reports.every((report) => report.ok);
  output.document({ ok, reports });
  return ok ? EXIT.ok : EXIT.failed;
}

const figure = (value: number) => Number.isNaN(value) ? "-" : value === 0 ? "0" : value.toExponential(2);

function print({ folder, component, outputs, ok, tolerance, seconds }: VerifyReport, output: Output): void {
  output.print(`${folder}: ${component}`);
  const rows = outputs.map((one: OutputReport) => [
    one.name,
    figure(one.maxAbsError),
    figure(one.relativeL2),
    one.ok ? "ok" : "FAILED",
    one.note ?? "",
  ]);
  output.print(formatTable(["output", "max abs error", "relative L2", "", ""], rows, [1, 2]));
  const passed = outputs.filter((one) => one.ok).length;
  output.print(
    `${ok ? "ok" : "FAILED"}: ${passed} of ${outputs.length} within ${tolerance}, in ${seconds.toFixed(1)} s\n`,
  );
}
