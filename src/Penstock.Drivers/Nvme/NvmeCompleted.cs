using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <summary>A command of an <see cref="NvmeQueue"/> that the controller has completed.</summary>
/// <param name="Tag">What the command was submitted with.</param>
/// <param name="Status">How it ended, with its flags; 0 is success.</param>
/// <param name="Result">The command's own result.</param>
public readonly record struct NvmeCompleted(ulong Tag, NvmeStatus Status, uint Result);
