using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>
/// Which pages devices have looked at lately, roughly: pages share marks. A refresh of a range without a mark has nobody to wait for, which is what nearly
/// every refresh after a map is.
/// <para>
/// The device's side marks before it looks at anything that a refresh may change. A first mark is a full fence, and whoever refreshes has changed the tables
/// and has a fence before he looks at the marks: one of the two sees the other. Marks are taken away and scopes awaited by one thread at a time.
/// </para>
/// </summary>
internal sealed unsafe class TouchedPages : IDisposable
{
    private const int Marks = 4096;

    private readonly ResourceLedger _ledger;
    private byte* _marks;

    internal TouchedPages(ResourceLedger ledger)
    {
        _ledger = ledger;
        _marks = NativeBlock.Allocate<byte>(Marks, ledger);
    }

    public void Dispose() => NativeBlock.Free(ref _marks, _ledger);

    /// <summary>A device is about to look at a page.</summary>
    internal void Mark(ulong page)
    {
        ref byte mark = ref _marks[page & (Marks - 1)];
        if (Volatile.Read(ref mark) == 0)
        {
            mark = 1;
            Interlocked.MemoryBarrier();
        }
    }

    /// <summary>Takes away the marks of a range. The caller waits for scopes when there was one, before anybody else may look.</summary>
    /// <returns>Whether there was one.</returns>
    internal bool Take(ulong first, ulong last)
    {
        ulong count = last - first;
        if (count >= Marks - 1)
        {
            return Take(0, Marks);
        }

        int from = (int)(first & (Marks - 1));
        int length = (int)count + 1;
        int before = Math.Min(length, Marks - from);
        bool any = Take(from, before);
        return (length > before && Take(0, length - before)) | any;
    }

    private bool Take(int from, int length)
    {
        // SAFETY: within the marks.
        var marks = new Span<byte>(_marks + from, length);
        int at = marks.IndexOfAnyExcept((byte)0);
        if (at < 0)
        {
            return false;
        }

        marks[at..].Clear();
        return true;
    }
}
