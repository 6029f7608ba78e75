// The errors of this library. Each message reads `Cannot <verb> <thing with its shape> as <rule>: <current state>`,
// so that one line says what is wrong and how to mend it.

/** The base of every error that this library throws on purpose. */
export class PixArtError extends Error {
  override name = "PixArtError";
}

/** Tensors whose shapes or dtypes do not fit together. */
export class ShapeError extends PixArtError {
  override name = "ShapeError";
}

/** A weights file that is broken, incomplete, or not what the model needs. */
export class WeightsError extends PixArtError {
  override name = "WeightsError";
}

/** No adapter, a shader that does not compile, memory that ran out, a device that was lost. */
export class DeviceError extends PixArtError {
  override name = "DeviceError";
}

/** Memory of the GPU that ran out, or a buffer larger than it can have. */
export class OutOfMemoryError extends DeviceError {
  override name = "OutOfMemoryError";
}

/** A model that cannot be found, or cannot be fetched from the hub. */
export class DownloadError extends PixArtError {
  override name = "DownloadError";
}

/** A configuration file with a value that cannot be honoured. */
export class ConfigError extends PixArtError {
  override name = "ConfigError";
}

/** A call or a command line that cannot be carried out as it was asked. */
export class UsageError extends PixArtError {
  override name = "UsageError";
}

/** A NaN or an infinity in the numbers of a stage. */
export class NumericError extends PixArtError {
  override name = "NumericError";
}
