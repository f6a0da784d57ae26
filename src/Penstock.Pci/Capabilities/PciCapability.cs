using System.Buffers.Binary;
using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>
/// A capability in the configuration space of one device. The base class keeps the bytes and, for each bit, whether software may write
/// it or clear it; a subclass declares them with <see cref="Define"/> and replaces <see cref="Write"/> where a write does something.
/// An object belongs to one configuration space. All members are called on the function's strand.
/// </summary>
public abstract partial class PciCapability
{
    private readonly byte[] _bytes;
    private readonly byte[] _initial;
    private readonly byte[] _writable;
    private readonly byte[] _clearable;

    /// <summary>Creates a capability of conventional configuration space.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="length">Length in bytes, the two header bytes included: 2 to 192.</param>
    /// <exception cref="ArgumentOutOfRangeException">The length does not fit.</exception>
    protected PciCapability(PciCapabilityId id, int length)
        : this((ushort)id, length, 2, PciConfigOffsets.ConventionalSize - PciConfigOffsets.HeaderEnd)
    {
        _initial[0] = (byte)id;
        _bytes[0] = (byte)id;
        IsShown = CapabilityRules.IsShown(id);
        WritesDropped = IsShown && CapabilityRules.IsReadOnly(id);
    }

    private protected PciCapability(ushort id, int length, int headerLength, int space)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, headerLength);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, space);
        Id = id;
        _bytes = new byte[length];
        _initial = new byte[length];
        _writable = new byte[length];
        _clearable = new byte[length];
    }

    /// <summary>The id: <see cref="PciCapabilityId"/>, or <see cref="PciExtendedCapabilityId"/> for an extended one.</summary>
    public ushort Id { get; }

    /// <summary>Length in bytes with its header.</summary>
    public int Length => _bytes.Length;

    /// <summary>Where it starts in configuration space; 0 before it has a place.</summary>
    public int Offset { get; private set; }

    /// <summary>Whether users find it in the list. Ids that VFIO does not know are left out; their bytes are still there.</summary>
    public bool IsShown { get; private protected set; }

    internal IConfigEffects? Effects { get; private set; }

    internal bool WritesDropped { get; private protected set; }

    /// <summary>
    /// Reads. The configuration space splits accesses so that none crosses a dword or the end of the capability.
    /// </summary>
    /// <param name="offset">Offset in the capability, from its header on.</param>
    /// <param name="data">Receives the bytes.</param>
    public virtual void Read(int offset, Span<byte> data) => _bytes.AsSpan(offset, data.Length).CopyTo(data);

    /// <summary>Writes, as <see cref="Read"/>. Bits that are not writable keep their value.</summary>
    /// <param name="offset">Offset in the capability, from its header on.</param>
    /// <param name="data">The bytes.</param>
    public virtual void Write(int offset, ReadOnlySpan<byte> data)
    {
        for (int i = 0; i < data.Length; i++)
        {
            int at = offset + i;
            int kept = (_bytes[at] & ~_writable[at]) | (data[i] & _writable[at]);
            _bytes[at] = (byte)(kept & ~(data[i] & _clearable[at]));
        }
    }

    /// <summary>Returns to the initial values. The header stays.</summary>
    public virtual void Reset()
    {
        int body = HeaderLength;
        _initial.AsSpan(body).CopyTo(_bytes.AsSpan(body));
    }

    /// <summary>
    /// A reset of the function around which the host saved and restored its own registers. Unless a capability says otherwise
    /// nothing of it is the host's.
    /// </summary>
    public virtual void ResetRestored() => Reset();

    /// <summary>Declares a register. What is not declared reads 0 and drops writes.</summary>
    /// <param name="offset">Offset in the capability.</param>
    /// <param name="width">1, 2 or 4 bytes.</param>
    /// <param name="initial">Value after reset.</param>
    /// <param name="writable">Bits that software may write.</param>
    /// <param name="writeOneToClear">Bits that software clears by writing 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The register does not lie inside the capability's body.</exception>
    protected void Define(int offset, int width, uint initial, uint writable = 0, uint writeOneToClear = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(offset, HeaderLength);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + width, Length);
        Store(_initial, offset, width, initial);
        Store(_bytes, offset, width, initial);
        Store(_writable, offset, width, writable);
        Store(_clearable, offset, width, writeOneToClear);
    }

    /// <summary>Reads a register as the function sees it.</summary>
    /// <param name="offset">Offset in the capability.</param>
    /// <param name="width">1, 2 or 4 bytes.</param>
    /// <returns>The value.</returns>
    protected uint Get(int offset, int width) => width switch
    {
        1 => _bytes[offset],
        2 => BinaryPrimitives.ReadUInt16LittleEndian(_bytes.AsSpan(offset)),
        _ => BinaryPrimitives.ReadUInt32LittleEndian(_bytes.AsSpan(offset)),
    };

    /// <summary>Sets a register as the function does, whatever software may write.</summary>
    /// <param name="offset">Offset in the capability.</param>
    /// <param name="width">1, 2 or 4 bytes.</param>
    /// <param name="value">The value.</param>
    protected void Set(int offset, int width, uint value) => Store(_bytes, offset, width, value);

    /// <summary>Whether an access touches a register.</summary>
    /// <param name="offset">Start of the access.</param>
    /// <param name="length">Length of the access.</param>
    /// <param name="register">Start of the register.</param>
    /// <param name="width">Width of the register.</param>
    /// <returns>True when they overlap.</returns>
    protected static bool Touches(int offset, int length, int register, int width) =>
        offset < register + width && register < offset + length;

    private protected virtual int HeaderLength => 2;

    internal void Place(int offset, IConfigEffects? effects)
    {
        if (Offset != 0)
        {
            throw new ArgumentException(
                $"{GetType().Name}: the object already has a place at 0x{Offset:x} of another device; make a new one for each device.");
        }

        Offset = offset;
        Effects = effects;
    }

    internal virtual void SetNext(int next) => _bytes[1] = (byte)next;

    private protected void SetHeader(uint value) => Store(_bytes, 0, PciExtendedHeader.Length, value);

    private static void Store(byte[] bytes, int offset, int width, uint value)
    {
        for (int i = 0; i < width; i++)
        {
            bytes[offset + i] = (byte)(value >> (8 * i));
        }
    }
}
