namespace Penstock.Drivers;

/// <summary>The card said that inputs changed.</summary>
/// <param name="Number">How many times it has said so since the driver was started; this one included.</param>
/// <param name="Inputs">Levels read after that, bit 0 for input 0. A line that went there and back again looks as before.</param>
public readonly record struct Idio16InputChange(long Number, ushort Inputs);
