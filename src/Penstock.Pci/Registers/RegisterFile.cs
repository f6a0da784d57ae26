using System.Buffers.Binary;
using System.Numerics;
using Penstock.Interop;

namespace Penstock.Pci;

/// <summary>
/// The registers of a function, declared instead of coded: widths, reset values, what software may write. An access may cover part of a
/// register or several; it allocates nothing. What lies between registers reads 0 and drops writes, and is reported once.
/// Called on the function's strand.
/// </summary>
public sealed class RegisterFile
{
    private const int LargestSize = 1 << 24;
    private const ushort Hole = ushort.MaxValue;
    private readonly Register[] _registers;
    private readonly ulong[] _values;
    private readonly ushort[] _owner;
    private readonly ulong[] _reportedBits;
    private readonly bool[] _reportedHoles;
    private readonly string _name;
    private readonly Action<string>? _log;

    /// <summary>Makes the register file, with every register at its reset value.</summary>
    /// <param name="name">What it belongs to, for people: for example <c>bar 0</c>.</param>
    /// <param name="size">Size in bytes that accesses may reach.</param>
    /// <param name="registers">The registers, in any order.</param>
    /// <param name="log">Receives a line for each thing that software does beyond the declared registers, once each.</param>
    /// <exception cref="ArgumentException">Registers overlap or do not fit; the text names them.</exception>
    public RegisterFile(string name, int size, IEnumerable<Register> registers, Action<string>? log = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(registers);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, LargestSize);
        _name = name;
        _log = log;
        _registers = [.. registers.OrderBy(static r => r.Offset)];
        if (_registers.Length >= Hole)
        {
            throw new ArgumentException($"{name}: {_registers.Length} registers are too many; fewer than {Hole} are possible.");
        }

        _values = new ulong[_registers.Length];
        _reportedBits = new ulong[_registers.Length];
        _reportedHoles = new bool[size];
        _owner = new ushort[size];
        Array.Fill(_owner, Hole);
        for (int i = 0; i < _registers.Length; i++)
        {
            Claim(i);
        }

        StateSize = _registers.Sum(static r => r.Width);
        Reset();
    }

    /// <summary>Size in bytes that accesses may reach.</summary>
    public int Size => _owner.Length;

    /// <summary>The registers, by offset.</summary>
    public IReadOnlyList<Register> Registers => _registers;

    /// <summary>How many bytes <see cref="Save"/> takes.</summary>
    public int StateSize { get; }

    /// <summary>A register's stored value, as the function sees and sets it: no masks, no callbacks.</summary>
    /// <param name="offset">Offset of the register.</param>
    /// <exception cref="ArgumentException">No register starts there, or the value is wider than it.</exception>
    public ulong this[int offset]
    {
        get => _values[IndexAt(offset)];
        set
        {
            int index = IndexAt(offset);
            if ((value & ~MaskOf(_registers[index].Width)) != 0)
            {
                throw new ArgumentException($"{_name}: 0x{value:x} does not fit into {_registers[index].Name}.");
            }

            _values[index] = value;
        }
    }

    /// <summary>Returns every register to its reset value; no callbacks.</summary>
    public void Reset()
    {
        for (int i = 0; i < _registers.Length; i++)
        {
            _values[i] = _registers[i].ResetValue;
        }
    }

    /// <summary>A read by software.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">Receives the bytes, little-endian.</param>
    /// <returns>None; EINVAL when the access reaches past the end.</returns>
    public Errno Read(ulong offset, Span<byte> data)
    {
        if (!Fits(offset, data.Length))
        {
            return Errno.EINVAL;
        }

        int done = 0;
        while (done < data.Length)
        {
            int at = (int)offset + done;
            ushort index = _owner[at];
            if (index == Hole)
            {
                ReportHole(at, "read");
                data[done++] = 0;
                continue;
            }

            Register register = _registers[index];
            ulong value = register.OnRead is { } read ? read(_values[index]) : _values[index];
            int from = at - register.Offset;
            int count = Math.Min(register.Width - from, data.Length - done);
            for (int i = 0; i < count; i++)
            {
                data[done + i] = (byte)(value >> (8 * (from + i)));
            }

            done += count;
        }

        return Errno.None;
    }

    /// <summary>A write by software.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">The bytes, little-endian.</param>
    /// <returns>None; EINVAL when the access reaches past the end.</returns>
    public Errno Write(ulong offset, ReadOnlySpan<byte> data)
    {
        if (!Fits(offset, data.Length))
        {
            return Errno.EINVAL;
        }

        int done = 0;
        while (done < data.Length)
        {
            int at = (int)offset + done;
            ushort index = _owner[at];
            if (index == Hole)
            {
                ReportHole(at, "write");
                done++;
                continue;
            }

            Register register = _registers[index];
            int from = at - register.Offset;
            int count = Math.Min(register.Width - from, data.Length - done);
            ulong written = 0;
            for (int i = 0; i < count; i++)
            {
                written |= (ulong)data[done + i] << (8 * (from + i));
            }

            Store(index, register, written, MaskOf(count) << (8 * from));
            done += count;
        }

        return Errno.None;
    }

    /// <summary>Writes the value of every register, by offset, each in its width.</summary>
    /// <param name="state">At least <see cref="StateSize"/> bytes.</param>
    public void Save(Span<byte> state)
    {
        CheckState(state.Length);
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        int at = 0;
        for (int i = 0; i < _registers.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(word, _values[i]);
            word[.._registers[i].Width].CopyTo(state[at..]);
            at += _registers[i].Width;
        }
    }

    /// <summary>Takes the value of every register from what <see cref="Save"/> wrote; no callbacks.</summary>
    /// <param name="state">At least <see cref="StateSize"/> bytes.</param>
    public void Load(ReadOnlySpan<byte> state)
    {
        CheckState(state.Length);
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        int at = 0;
        for (int i = 0; i < _registers.Length; i++)
        {
            word.Clear();
            state.Slice(at, _registers[i].Width).CopyTo(word);
            _values[i] = BinaryPrimitives.ReadUInt64LittleEndian(word);
            at += _registers[i].Width;
        }
    }

    private void Store(int index, Register register, ulong written, ulong touched)
    {
        ulong before = _values[index];
        ulong clear = written & register.WriteOneToClearMask;
        ulong writable = touched & ~(register.ReadOnlyMask | register.WriteOneToClearMask | register.UnknownMask);
        ulong after = ((before & ~writable) | (written & writable)) & ~clear;
        _values[index] = after;
        ulong unknown = written & register.UnknownMask & ~_reportedBits[index];
        if (unknown != 0)
        {
            _reportedBits[index] |= unknown;
            _log?.Invoke($"{_name}: write of unknown bits 0x{unknown:x} of {register.Name} (offset 0x{register.Offset:x}) dropped");
        }

        register.OnWrite?.Invoke(before, after, written);
    }

    private void ReportHole(int at, string what)
    {
        int word = at & ~3;
        if (!_reportedHoles[word])
        {
            _reportedHoles[word] = true;
            _log?.Invoke($"{_name}: {what} at offset 0x{word:x}, where there is no register");
        }
    }

    private bool Fits(ulong offset, int length) =>
        offset <= (ulong)_owner.Length && (ulong)length <= (ulong)_owner.Length - offset;

    private int IndexAt(int offset)
    {
        int index = (uint)offset < (uint)_owner.Length ? _owner[offset] : Hole;
        return index != Hole && _registers[index].Offset == offset
            ? index
            : throw new ArgumentException($"{_name}: no register starts at offset 0x{offset:x}.");
    }

    private void Claim(int index)
    {
        Register register = _registers[index];
        if (register.Width is < 1 or > sizeof(ulong) || !BitOperations.IsPow2(register.Width))
        {
            throw new ArgumentException($"{_name}: {register.Name} has a width of {register.Width}; use 1, 2, 4 or 8 bytes.");
        }

        if (register.Offset < 0 || register.Offset % register.Width != 0 || register.Offset > Size - register.Width)
        {
            throw new ArgumentException(
                $"{_name}: {register.Name} at offset 0x{register.Offset:x} must start at a multiple of its width and end by 0x{Size:x}.");
        }

        ulong bits = register.ResetValue | register.ReadOnlyMask | register.WriteOneToClearMask | register.UnknownMask;
        if ((bits & ~MaskOf(register.Width)) != 0)
        {
            throw new ArgumentException($"{_name}: a value or mask of {register.Name} is wider than its {register.Width} bytes.");
        }

        for (int i = 0; i < register.Width; i++)
        {
            ref ushort owner = ref _owner[register.Offset + i];
            if (owner != Hole)
            {
                throw new ArgumentException(
                    $"{_name}: {register.Name} and {_registers[owner].Name} overlap at offset 0x{register.Offset + i:x}.");
            }

            owner = (ushort)index;
        }
    }

    private void CheckState(int length)
    {
        if (length < StateSize)
        {
            throw new ArgumentException($"{_name}: the state takes {StateSize} bytes, and there are {length}.", nameof(length));
        }
    }

    private static ulong MaskOf(int bytes) => bytes == sizeof(ulong) ? ulong.MaxValue : (1UL << (8 * bytes)) - 1;
}
