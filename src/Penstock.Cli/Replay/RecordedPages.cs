using System.Buffers.Binary;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>Pages of guest memory that hold tables; remembers the first address that was asked for and is not there.</summary>
internal sealed class RecordedPages
{
    private const int PageShift = (int)ZpciTableLevel.Page;
    private const ulong OffsetMask = ZpciIoTable.PageSize - 1;

    private readonly Dictionary<ulong, byte[]> _pages = [];
    private ulong _lastPage = ulong.MaxValue;
    private byte[] _last = [];

    public ulong? Missing { get; private set; }

    public void Add(ulong address, byte[] page) => _pages[address >> PageShift] = page;

    public bool TryRead(ulong address, out ulong entry)
    {
        ulong page = address >> PageShift;
        if (page != _lastPage)
        {
            if (!_pages.TryGetValue(page, out byte[]? found))
            {
                Missing ??= address;
                entry = 0;
                return false;
            }

            (_lastPage, _last) = (page, found);
        }

        entry = BinaryPrimitives.ReadUInt64BigEndian(_last.AsSpan((int)(address & OffsetMask)));
        return true;
    }
}
