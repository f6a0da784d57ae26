using System.Numerics;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// Gives out I/O addresses of a window, in sizes rounded up to powers of two, so that what comes back fits the next of its size. Not for many threads
/// at once.
/// </summary>
internal sealed class IovaAllocator(IovaRange window)
{
    private readonly Stack<ulong>[] _free = [.. Enumerable.Range(0, 64).Select(static _ => new Stack<ulong>())];
    private ulong _next = window.First;
    private bool _full;

    public bool TryTake(ulong size, out ulong iova)
    {
        int order = OrderOf(size);
        if (_free[order].TryPop(out iova))
        {
            return true;
        }

        if (_full)
        {
            return false;
        }

        iova = _next;
        ulong last = iova + ((1ul << order) - 1);
        if (last < iova || last > window.Last)
        {
            return false;
        }

        _full = last == ulong.MaxValue;
        _next = last + 1;
        return true;
    }

    public void Give(ulong iova, ulong size) => _free[OrderOf(size)].Push(iova);

    private static int OrderOf(ulong size) => BitOperations.Log2(Math.Max(size, ZpciIoTable.PageSize) - 1) + 1;
}
