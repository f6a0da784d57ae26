using System.Buffers.Binary;
using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>
/// Extended message signalled interrupts with the function's table and pending bits (PCI Local Bus 3.0, section 6.8.2).
/// The host programs the table when users bind eventfds; users see ones instead of the table and cannot write it, nor the
/// control register: a guest's own table stays in its VMM. The pending bits are the function's and can be read.
/// </summary>
public sealed class MsixCapability : PciCapability
{
    private const int EntryWords = PciMsix.EntrySize / 4;
    private const int ControlWord = 3;
    private readonly uint[] _table;
    private readonly long[] _pending;

    /// <summary>Creates the capability.</summary>
    /// <param name="vectors">1 to 2048.</param>
    /// <param name="tableBar">BAR that holds the table.</param>
    /// <param name="tableOffset">Where it starts there, a multiple of 8; it takes 16 bytes for each vector.</param>
    /// <param name="pbaBar">BAR that holds the pending bits.</param>
    /// <param name="pbaOffset">Where they start there, a multiple of 8; they take 8 bytes for each 64 vectors.</param>
    /// <exception cref="ArgumentException">A number is out of range or an offset is not a multiple of 8.</exception>
    public MsixCapability(int vectors, int tableBar, uint tableOffset, int pbaBar, uint pbaOffset)
        : base(PciCapabilityId.Msix, PciMsix.Length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vectors, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vectors, PciMsix.MaxVectors);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)tableBar, (uint)PciConfigOffsets.BarCount, nameof(tableBar));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)pbaBar, (uint)PciConfigOffsets.BarCount, nameof(pbaBar));
        if (((tableOffset | pbaOffset) & PciMsix.BarMask) != 0)
        {
            throw new ArgumentException(
                $"MSI-X: the table at 0x{tableOffset:x} and the pending bits at 0x{pbaOffset:x} must start at multiples of 8.");
        }

        Vectors = vectors;
        TableBar = tableBar;
        TableOffset = tableOffset;
        PbaBar = pbaBar;
        PbaOffset = pbaOffset;
        _table = new uint[vectors * EntryWords];
        _pending = new long[(vectors + 63) / 64];
        Define(PciMsix.Control, 2, (uint)(vectors - 1));
        Define(PciMsix.Table, 4, tableOffset | (uint)tableBar);
        Define(PciMsix.Pba, 4, pbaOffset | (uint)pbaBar);
        ResetTable();
    }

    /// <summary>How many vectors the function has.</summary>
    public int Vectors { get; }

    /// <summary>BAR that holds the table.</summary>
    public int TableBar { get; }

    /// <summary>Where the table starts.</summary>
    public ulong TableOffset { get; }

    /// <summary>Length of the table in bytes.</summary>
    public ulong TableLength => (ulong)Vectors * PciMsix.EntrySize;

    /// <summary>BAR that holds the pending bits.</summary>
    public int PbaBar { get; }

    /// <summary>Where the pending bits start.</summary>
    public ulong PbaOffset { get; }

    /// <summary>Length of the pending bits in bytes.</summary>
    public ulong PbaLength => (ulong)_pending.Length * sizeof(long);

    /// <summary>Whether the enable bit is set.</summary>
    public bool IsEnabled => (Get(PciMsix.Control, 2) & PciMsix.Enable) != 0;

    /// <inheritdoc/>
    public override void Reset()
    {
        base.Reset();
        ResetTable();
        Array.Clear(_pending);
    }

    /// <inheritdoc/>
    public override void ResetRestored()
    {
        ResetTable();
        Array.Clear(_pending);
    }

    internal void Enable() => Set(PciMsix.Control, 2, Get(PciMsix.Control, 2) | PciMsix.Enable);

    internal void Disable() => Set(PciMsix.Control, 2, Get(PciMsix.Control, 2) & ~(uint)PciMsix.Enable);

    /// <summary>Writes a table entry as the host does, and unmasks it. The caller then takes the pending bit.</summary>
    internal void Program(int vector, ulong address, uint data)
    {
        int entry = vector * EntryWords;
        _table[entry] = (uint)address;
        _table[entry + 1] = (uint)(address >> 32);
        _table[entry + 2] = data;
        Interlocked.Exchange(ref _table[entry + ControlWord], 0);
    }

    internal void Mask(int vector) => Interlocked.Exchange(ref _table[(vector * EntryWords) + ControlWord], PciMsix.VectorMasked);

    // As for MSI: mark pending, then look at the mask again; unmask, then take the pending bit.
    internal bool IsMasked(int vector) =>
        (Volatile.Read(ref _table[(vector * EntryWords) + ControlWord]) & PciMsix.VectorMasked) != 0;

    internal void SetPending(int vector) => Interlocked.Or(ref _pending[vector >> 6], 1L << (vector & 63));

    internal bool TakePending(int vector)
    {
        long bit = 1L << (vector & 63);
        return (Interlocked.And(ref _pending[vector >> 6], ~bit) & bit) != 0;
    }

    /// <summary>Reads 1, 2, 4 or 8 bytes of the pending bits, naturally aligned.</summary>
    internal void ReadPending(ulong offset, Span<byte> data)
    {
        Span<byte> word = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(word, Volatile.Read(ref _pending[offset / sizeof(long)]));
        word.Slice((int)(offset % sizeof(long)), data.Length).CopyTo(data);
    }

    /// <summary>A word of the function's table, as the hardware holds it.</summary>
    internal uint TableWord(int vector, int word) => _table[(vector * EntryWords) + word];

    // The table is the host's: users bind eventfds at the destination, and that writes it.
    private protected override int ExtraStateLength => _pending.Length * sizeof(long);

    private protected override void SaveExtraState(Span<byte> state)
    {
        for (int i = 0; i < _pending.Length; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(state[(i * sizeof(long))..], Volatile.Read(ref _pending[i]));
        }
    }

    private protected override void LoadExtraState(ReadOnlySpan<byte> state)
    {
        for (int vector = 0; vector < Vectors; vector++)
        {
            if ((state[vector / 8] & (1 << (vector % 8))) != 0)
            {
                SetPending(vector);
            }
            else
            {
                TakePending(vector);
            }
        }
    }

    private void ResetTable()
    {
        for (int vector = 0; vector < Vectors; vector++)
        {
            int entry = vector * EntryWords;
            _table[entry] = 0;
            _table[entry + 1] = 0;
            _table[entry + 2] = 0;
            Volatile.Write(ref _table[entry + ControlWord], PciMsix.VectorMasked);
        }
    }
}
