using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>
/// The zPCI side of a function (zPCI architecture, function handle): its handle, which changes each time it is enabled, and the machine whose
/// interrupts firmware may deliver by itself. All members may be called from any thread.
/// </summary>
public sealed partial class ZpciFunction
{
    private readonly Lock _gate = new();
    private uint _handle;
    private uint _designation;
    private ZpciBaseInfo _base = new() { EndDma = ulong.MaxValue };

    /// <summary>Creates an enabled function.</summary>
    /// <param name="id">Function id, which never changes.</param>
    /// <param name="index">Index in its handle.</param>
    public ZpciFunction(uint id, ushort index)
    {
        Id = id;
        _handle = ZpciHandle.Enabled | index;
    }

    /// <summary>Function id.</summary>
    public uint Id { get; }

    /// <summary>What the function's query says.</summary>
    public ZpciBaseInfo Base
    {
        get
        {
            lock (_gate)
            {
                return _base;
            }
        }

        init => _base = value;
    }

    /// <summary>What the query of its group says.</summary>
    public ZpciGroupInfo Group { get; init; } = new() { Flags = ZpciGroupInfo.Refresh };

    /// <summary>A text about the function in EBCDIC, 64 bytes; empty when there is none.</summary>
    public ReadOnlyMemory<byte> Util { get; init; }

    /// <summary>Path to the function in the machine, 4 bytes.</summary>
    public ReadOnlyMemory<byte> Path { get; init; } = new byte[4];

    /// <summary>The handle as of now.</summary>
    public uint Handle
    {
        get
        {
            lock (_gate)
            {
                return _handle;
            }
        }
    }

    /// <summary>Whether it is enabled.</summary>
    public bool IsEnabled => (Handle & ZpciHandle.Enabled) != 0;

    /// <summary>Designation of the machine that firmware serves directly; 0 when the host serves it.</summary>
    public uint Designation
    {
        get
        {
            lock (_gate)
            {
                return _designation;
            }
        }
    }

    /// <summary>Its IOMMU cannot use the whole window of DMA addresses: users are told of an earlier end.</summary>
    /// <param name="last">Last address of DMA.</param>
    public void LimitDma(ulong last)
    {
        lock (_gate)
        {
            _base.EndDma = Math.Min(_base.EndDma, last);
        }
    }
}
