using System.Buffers.Binary;
using System.Numerics;
using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>
/// Message signalled interrupts (PCI Local Bus 3.0, section 6.8.1). Users may store an address and data here; what is really sent is
/// the eventfd that they bind, so enable stays 0 until they do. Mask bits work: a masked vector becomes pending.
/// </summary>
public sealed class MsiCapability : PciCapability
{
    private readonly bool _maskable;
    private readonly int _mask;
    private int _pending;
    private int _masked;
    private int _allocatedLog2;

    /// <summary>Creates the capability.</summary>
    /// <param name="vectors">1, 2, 4, 8, 16 or 32.</param>
    /// <param name="maskable">Each vector can be masked.</param>
    /// <param name="is64Bit">The address has 64 bits.</param>
    /// <exception cref="ArgumentException">The number of vectors is none of these.</exception>
    public MsiCapability(int vectors, bool maskable = true, bool is64Bit = true)
        : base(PciCapabilityId.Msi, LengthOf(maskable, is64Bit))
    {
        if (vectors is < 1 or > PciMsi.MaxVectors || !BitOperations.IsPow2(vectors))
        {
            throw new ArgumentException($"MSI: {vectors} vectors are not possible; use 1, 2, 4, 8, 16 or 32.", nameof(vectors));
        }

        Vectors = vectors;
        _maskable = maskable;
        int grow = is64Bit ? PciMsi.Grow64 : 0;
        int control = (BitOperations.Log2((uint)vectors) << PciMsi.MultipleCapableShift)
            | (is64Bit ? PciMsi.Is64Bit : 0) | (maskable ? PciMsi.Maskable : 0);
        Define(PciMsi.Control, 2, (uint)control, PciMsi.Enable | PciMsi.MultipleEnableMask);
        Define(PciMsi.Address, 4, 0, 0xffff_fffc);
        if (is64Bit)
        {
            Define(PciMsi.AddressHigh, 4, 0, uint.MaxValue);
        }

        Define(PciMsi.Data32 + grow, 2, 0, ushort.MaxValue);
        _mask = PciMsi.Mask32 + grow;
        if (maskable)
        {
            Define(_mask, 4, 0, (uint)((1UL << vectors) - 1));
        }
    }

    /// <summary>How many vectors the function has.</summary>
    public int Vectors { get; }

    /// <summary>Whether the enable bit is set.</summary>
    public bool IsEnabled => (Get(PciMsi.Control, 2) & PciMsi.Enable) != 0;

    internal bool IsSetUp { get; private set; }

    /// <inheritdoc/>
    public override void Read(int offset, Span<byte> data)
    {
        if (_maskable && Touches(offset, data.Length, _mask + 4, 4))
        {
            Set(_mask + 4, 4, (uint)Volatile.Read(ref _pending));
        }

        base.Read(offset, data);
    }

    /// <inheritdoc/>
    public override void Write(int offset, ReadOnlySpan<byte> data)
    {
        base.Write(offset, data);
        if (Touches(offset, data.Length, PciMsi.Control, 2))
        {
            LimitControl();
        }

        if (_maskable && Touches(offset, data.Length, _mask, 4))
        {
            Interlocked.Exchange(ref _masked, (int)Get(_mask, 4));
            Effects?.MsiMaskWritten();
        }
    }

    /// <inheritdoc/>
    public override void Reset()
    {
        base.Reset();
        Interlocked.Exchange(ref _masked, 0);
        Interlocked.Exchange(ref _pending, 0);
    }

    /// <inheritdoc/>
    public override void ResetRestored() => Interlocked.Exchange(ref _pending, 0);

    private protected override int ExtraStateLength => sizeof(int);

    private protected override void SaveExtraState(Span<byte> state) =>
        BinaryPrimitives.WriteInt32LittleEndian(state, Volatile.Read(ref _pending));

    private protected override void LoadExtraState(ReadOnlySpan<byte> state)
    {
        uint existing = (uint)((1UL << Vectors) - 1);
        Interlocked.Exchange(ref _pending, BinaryPrimitives.ReadInt32LittleEndian(state) & (int)existing);
        Interlocked.Exchange(ref _masked, _maskable ? (int)Get(_mask, 4) : 0);
        if (IsSetUp)
        {
            SetUp(1 << _allocatedLog2);
        }
        else
        {
            LimitControl();
        }
    }

    internal void SetUp(int vectors)
    {
        IsSetUp = true;
        _allocatedLog2 = vectors <= 1 ? 0 : BitOperations.Log2((uint)vectors - 1) + 1;
        uint rest = Get(PciMsi.Control, 2) & ~(uint)PciMsi.MultipleEnableMask;
        Set(PciMsi.Control, 2, rest | PciMsi.Enable | ((uint)_allocatedLog2 << PciMsi.MultipleEnableShift));
    }

    internal void TearDown()
    {
        IsSetUp = false;

        // What was pending was for the eventfds that go; it must not surprise whoever binds others.
        Interlocked.Exchange(ref _pending, 0);
        Set(PciMsi.Control, 2, Get(PciMsi.Control, 2) & ~(uint)PciMsi.Enable);
    }

    // These three may be called from any thread. Whoever marks a vector pending looks at the mask once more afterwards, and
    // whoever unmasks takes the pending bit afterwards: one of the two sees the other, so no interrupt is lost.
    internal bool IsMasked(int vector) => (Volatile.Read(ref _masked) & (1 << vector)) != 0;

    internal void SetPending(int vector) => Interlocked.Or(ref _pending, 1 << vector);

    internal bool TakePending(int vector) => (Interlocked.And(ref _pending, ~(1 << vector)) & (1 << vector)) != 0;

    /// <summary>The user's own set-up counts, not what a guest writes here: enable needs bound eventfds, the count what was allocated.</summary>
    private void LimitControl()
    {
        uint control = Get(PciMsi.Control, 2);
        uint count = (control & PciMsi.MultipleEnableMask) >> PciMsi.MultipleEnableShift;
        count = Math.Min(count, (uint)_allocatedLog2);
        control &= ~(uint)(PciMsi.MultipleEnableMask | (IsSetUp ? 0 : PciMsi.Enable));
        Set(PciMsi.Control, 2, control | (count << PciMsi.MultipleEnableShift));
    }

    private static int LengthOf(bool maskable, bool is64Bit) =>
        PciMsi.ShortLength + (is64Bit ? PciMsi.Grow64 : 0) + (maskable ? PciMsi.GrowMaskable : 0);
}
