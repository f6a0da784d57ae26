using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A register of an open device whose writes may come as signals of an eventfd, as a hypervisor sends them for a guest's (ioeventfd).</summary>
/// <param name="Offset">First byte in the region.</param>
/// <param name="Size">Width of the writes in bytes; 0 when it does not matter.</param>
/// <param name="Match">The one value that signals; null for any.</param>
/// <param name="Event">
/// The eventfd; stays the device's, which watches it until it is closed. Registers whose writes say the same have the same one.
/// </param>
public sealed record VfioDoorbell(ulong Offset, int Size, ulong? Match, EventDescriptor Event)
{
    /// <summary>Whether the region is I/O ports.</summary>
    public bool IsPort { get; init; }
}
