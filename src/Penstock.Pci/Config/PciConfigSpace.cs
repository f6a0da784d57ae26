using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>
/// The configuration space of one device: the type 0 header and the capabilities of a function, 256 bytes, or 4096 when the function is
/// Express or has extended capabilities. Accesses may have any offset and length inside; they allocate nothing.
/// Called on the function's strand.
/// </summary>
public sealed partial class PciConfigSpace
{
    private const byte None = byte.MaxValue;
    private readonly byte[] _header = new byte[PciConfigOffsets.HeaderEnd];
    private readonly byte[] _initial = new byte[PciConfigOffsets.HeaderEnd];
    private readonly byte[] _writable = new byte[PciConfigOffsets.HeaderEnd];
    private readonly byte[] _clearable = new byte[PciConfigOffsets.HeaderEnd];
    private readonly byte[] _owner;
    private readonly PciCapability[] _capabilities;
    private readonly PciBar?[] _bars = new PciBar?[PciConfigOffsets.BarCount];
    private readonly IConfigEffects? _effects;
    private volatile bool _interruptAsserted;

    /// <summary>Lays out the configuration space of a function.</summary>
    /// <param name="description">The function's facts; its capabilities are made now.</param>
    /// <exception cref="ArgumentException">The BARs or capabilities cannot be so; the text names which and why.</exception>
    public PciConfigSpace(PciFunctionDescription description)
        : this(description, null)
    {
    }

    internal PciConfigSpace(PciFunctionDescription description, IConfigEffects? effects)
    {
        ArgumentNullException.ThrowIfNull(description);
        _effects = effects;
        _capabilities = [.. description.Capabilities()];
        if (_capabilities.Length >= None)
        {
            throw new ArgumentException($"{_capabilities.Length} capabilities are too many; there is room for fewer than {None}.");
        }

        Size = Array.Exists(_capabilities, static c => c is PciExtendedCapability or ExpressCapability)
            ? PciConfigOffsets.ExtendedSize
            : PciConfigOffsets.ConventionalSize;
        _owner = new byte[Size];
        Array.Fill(_owner, None);
        FillIdentity(description);
        FillBars(description.Bars);
        PlaceCapabilities();
        CheckMsix();
        _header.CopyTo(_initial, 0);
    }

    /// <summary>256 or 4096 bytes.</summary>
    public int Size { get; }

    /// <summary>The capabilities, in the order of the description.</summary>
    public IReadOnlyList<PciCapability> Capabilities => _capabilities;

    /// <summary>The command register.</summary>
    public PciCommand Command =>
        (PciCommand)BinaryPrimitives.ReadUInt16LittleEndian(_header.AsSpan(PciConfigOffsets.Command));

    /// <summary>The pin: 0 for none, 1 to 4 for INTA to INTD.</summary>
    public int InterruptPin => _header[PciConfigOffsets.InterruptPin];

    /// <summary>The level of the interrupt output, which the status register shows. May be called from any thread.</summary>
    public bool InterruptAsserted
    {
        get => _interruptAsserted;
        internal set => _interruptAsserted = value;
    }

    /// <summary>The BAR with an index.</summary>
    /// <param name="index">Any number.</param>
    /// <returns>The BAR; null when the function has none there, or only the high half of the one before.</returns>
    public PciBar? Bar(int index) => (uint)index < (uint)_bars.Length ? _bars[index] : null;

    /// <summary>The first capability of a type.</summary>
    /// <typeparam name="T">The type.</typeparam>
    /// <returns>The capability, or null.</returns>
    public T? Find<T>()
        where T : PciCapability
    {
        foreach (PciCapability capability in _capabilities)
        {
            if (capability is T found)
            {
                return found;
            }
        }

        return null;
    }

    /// <summary>The address that software gave to a BAR.</summary>
    /// <param name="index">Index of the BAR.</param>
    /// <returns>The address without the type bits; 0 when there is no such BAR.</returns>
    public ulong BarAddress(int index)
    {
        if (Bar(index) is not { } bar)
        {
            return 0;
        }

        ReadOnlySpan<byte> register = _header.AsSpan(PciConfigOffsets.Bar0 + (4 * index));
        ulong value = bar.Kind == PciBarKind.Memory64
            ? BinaryPrimitives.ReadUInt64LittleEndian(register)
            : BinaryPrimitives.ReadUInt32LittleEndian(register);
        return value & ~(bar.Size - 1);
    }

    /// <summary>Sets error bits of the status register, as a function does that met an error; software clears them by writing 1.</summary>
    /// <param name="errors">The bits; others than those that software can clear are left out.</param>
    public void RaiseStatus(PciStatus errors)
    {
        Span<byte> status = _header.AsSpan(PciConfigOffsets.Status, 2);
        ushort old = BinaryPrimitives.ReadUInt16LittleEndian(status);
        BinaryPrimitives.WriteUInt16LittleEndian(status, (ushort)(old | (ushort)(errors & PciStatus.WriteOneToClear)));
    }

    /// <summary>Returns every register to its initial value.</summary>
    public void Reset()
    {
        _initial.CopyTo(_header, 0);
        foreach (PciCapability capability in _capabilities)
        {
            capability.Reset();
        }
    }

    /// <summary>
    /// A reset of the function alone: the host saves command, BARs and control registers before and restores them after, as users of
    /// VFIO expect; error bits are gone and the function is in D0.
    /// </summary>
    public void ResetRestored()
    {
        Span<byte> status = _header.AsSpan(PciConfigOffsets.Status, 2);
        ushort old = BinaryPrimitives.ReadUInt16LittleEndian(status);
        BinaryPrimitives.WriteUInt16LittleEndian(status, (ushort)(old & ~(ushort)PciStatus.WriteOneToClear));
        foreach (PciCapability capability in _capabilities)
        {
            capability.ResetRestored();
        }
    }

    /// <summary>Reads. The whole request is checked first.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">Receives the bytes.</param>
    /// <param name="transferred">All bytes, or 0 with an error.</param>
    /// <returns>None; EFAULT when the request reaches past the end.</returns>
    public Errno Read(ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        if (!Fits(offset, data.Length))
        {
            return Errno.EFAULT;
        }

        int at = (int)offset;
        while (transferred < data.Length)
        {
            int width = ChunkAt(at, data.Length - transferred);
            ReadChunk(at, data.Slice(transferred, width));
            at += width;
            transferred += width;
        }

        return Errno.None;
    }

    /// <summary>Writes. The whole request is checked first; bits that cannot be written are dropped and still count.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">The bytes.</param>
    /// <param name="transferred">All bytes, or 0 with an error.</param>
    /// <returns>None; EFAULT when the request reaches past the end.</returns>
    public Errno Write(ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        if (!Fits(offset, data.Length))
        {
            return Errno.EFAULT;
        }

        int at = (int)offset;
        while (transferred < data.Length)
        {
            int width = ChunkAt(at, data.Length - transferred);
            WriteChunk(at, data.Slice(transferred, width));
            at += width;
            transferred += width;
        }

        return Errno.None;
    }

    internal void ClearBusMaster() =>
        _header[PciConfigOffsets.Command] &= unchecked((byte)~(uint)PciCommand.BusMaster);

    private bool Fits(ulong offset, int length) => offset <= (ulong)Size && (ulong)length <= (ulong)Size - offset;

    /// <summary>The next step: naturally aligned, at most a dword, with one owner.</summary>
    private int ChunkAt(int at, int left)
    {
        int width = (at & 1) != 0 || left < 2 ? 1 : (at & 2) != 0 || left < 4 ? 2 : 4;
        while (_owner[at] != _owner[at + width - 1])
        {
            width >>= 1;
        }

        return width;
    }

    private void ReadChunk(int at, Span<byte> data)
    {
        if (at < PciConfigOffsets.HeaderEnd)
        {
            _header.AsSpan(at, data.Length).CopyTo(data);
            int status = PciConfigOffsets.Status - at;
            if (_interruptAsserted && (uint)status < (uint)data.Length)
            {
                data[status] |= (byte)PciStatus.Interrupt;
            }

            return;
        }

        byte owner = _owner[at];
        if (owner == None)
        {
            data.Clear();
            return;
        }

        PciCapability capability = _capabilities[owner];
        capability.Read(at - capability.Offset, data);
    }

    private void WriteChunk(int at, ReadOnlySpan<byte> data)
    {
        if (at < PciConfigOffsets.HeaderEnd)
        {
            for (int i = 0; i < data.Length; i++)
            {
                int kept = (_header[at + i] & ~_writable[at + i]) | (data[i] & _writable[at + i]);
                _header[at + i] = (byte)(kept & ~(data[i] & _clearable[at + i]));
            }

            if (at is PciConfigOffsets.Command or PciConfigOffsets.Command + 1)
            {
                _effects?.CommandWritten();
            }

            return;
        }

        byte owner = _owner[at];
        if (owner != None && !_capabilities[owner].WritesDropped)
        {
            PciCapability capability = _capabilities[owner];
            capability.Write(at - capability.Offset, data);
        }
    }
}
