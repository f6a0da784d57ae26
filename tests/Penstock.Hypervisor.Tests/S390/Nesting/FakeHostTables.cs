using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>Host tables as a dictionary, which says what is done with them.</summary>
internal sealed class FakeHostTables : TranslatingDomain, IShadowTarget
{
    private readonly ConcurrentDictionary<ulong, (PinnedSlot Slot, ulong Page, bool Writable)> _pages = new();

    public TranslatingDomain Domain => this;

    public int Pages => _pages.Count;

    /// <summary>How many more pages there is memory for.</summary>
    public int Room { get; set; } = int.MaxValue;

    public int Refreshes { get; private set; }

    public (ulong First, ulong Last) Refreshed { get; private set; }

    public override IovaRange Aperture => IovaRange.All;

    public override ulong PageSizes => 4096;

    public override int Count => _pages.Count;

    public bool TrySet(ulong iova, PinnedSlot slot, ulong page, bool writable)
    {
        if (!_pages.ContainsKey(iova) && _pages.Count >= Room)
        {
            return false;
        }

        _pages[iova] = (slot, page, writable);
        return true;
    }

    public void Clear(ulong iova) => Assert.True(_pages.TryRemove(iova, out _));

    public void Refresh(ulong first, ulong last)
    {
        Refreshes++;
        Refreshed = (first, last);
        WaitForScopes();
    }

    public void Forget(PinnedSlot slot)
    {
    }

    public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset) => throw new NotSupportedException();

    public override ulong Unmap(IovaRange range) => throw new NotSupportedException();

    protected override Errno Translate(ulong iova, DmaAccess access, out DmaTarget target)
    {
        target = default;
        if (!_pages.TryGetValue(iova & ~4095ul, out (PinnedSlot Slot, ulong Page, bool Writable) found))
        {
            return Errno.EFAULT;
        }

        ulong offset = iova & 4095;
        target = new DmaTarget(found.Slot.Memory, found.Slot.Offset + (found.Page * 4096) + offset, 4096 - offset);
        return found.Writable || (access & DmaAccess.Write) == 0 ? Errno.None : Errno.EPERM;
    }

    protected override void Dispose(bool disposing)
    {
    }
}
