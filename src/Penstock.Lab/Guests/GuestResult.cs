namespace Penstock.Lab;

/// <summary>How a guest ended.</summary>
/// <param name="ExitStatus">The script's exit status; 125 when a module of <see cref="GuestConfiguration.Modules"/> could not be loaded;
/// null when the guest ended without getting that far. After several boots: the last one's.</param>
/// <param name="TimedOut">Whether it was killed because its time was over.</param>
/// <param name="Console">All that the guest's console showed, lines ended by <c>\n</c>.</param>
/// <param name="Elapsed">Time from QEMU's start to its end.</param>
/// <param name="QemuErrors">What QEMU itself wrote, or null when it wrote nothing.</param>
public sealed record GuestResult(int? ExitStatus, bool TimedOut, string Console, TimeSpan Elapsed, string? QemuErrors);
