using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>A device that pins and is told when a mapping goes; what it does then is the test's business.</summary>
internal sealed class PinningDevice(string name) : BareDevice(name)
{
    public List<(ulong Iova, ulong Length)> Notices { get; } = [];

    public Action<ulong, ulong>? OnUnmap { get; set; }

    public Action? OnClose { get; set; }

    protected internal override void Close() => OnClose?.Invoke();

    protected internal override void DmaUnmap(ulong iova, ulong length)
    {
        Notices.Add((iova, length));
        OnUnmap?.Invoke(iova, length);
    }

    /// <summary>Pins, and forgets the pages.</summary>
    public Errno Pin(ulong iova, int count, DmaAccess access = DmaAccess.ReadWrite) => PinPages(iova, count, access, new PinnedPage[Math.Max(count, 1)]);
}
