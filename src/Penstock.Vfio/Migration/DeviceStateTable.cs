using System.Buffers.Binary;
using System.Text;

namespace Penstock.Vfio;

/// <summary>
/// Declares what the state of a device is made of, so that it can be saved and loaded without further code. Fields have fixed lengths and
/// names that are never used again for something else. Getters, setters and checks are called on the device's strand, while the device
/// is stopped. Built once, before the device is registered; afterwards only <see cref="Rebuilt"/> is called, from any thread.
/// </summary>
public sealed class DeviceStateTable
{
    private const int LongestName = byte.MaxValue;
    private const int LargestField = 1 << 20;

    private readonly List<DeviceStateField> _fields = [];
    private readonly List<DeviceStateMemory> _memories = [];
    private int _generation;

    /// <summary>Begins a table.</summary>
    /// <param name="name">Its name in the stream.</param>
    /// <param name="version">1 at first. Add fields with a higher version; never change one that was in use.</param>
    public DeviceStateTable(string name, int version)
    {
        CheckName(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(version, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(version, ushort.MaxValue);
        Name = name;
        Version = version;
    }

    /// <summary>Its name in the stream.</summary>
    public string Name { get; }

    /// <summary>Its version. A stream of a lower version is accepted: fields that came later then keep their value after reset.</summary>
    public int Version { get; }

    internal IReadOnlyList<DeviceStateField> Fields => _fields;

    internal IReadOnlyList<DeviceStateMemory> Memories => _memories;

    internal int Generation => Volatile.Read(ref _generation);

    /// <summary>Declares a number.</summary>
    /// <param name="name">Its name in the table.</param>
    /// <param name="width">1, 2, 4 or 8 bytes.</param>
    /// <param name="get">Tells it.</param>
    /// <param name="set">Sets it, without side effects such as interrupts or DMA.</param>
    /// <param name="largest">A stream with a larger value is refused.</param>
    /// <param name="since">Version of the table in which it came.</param>
    /// <returns>This table.</returns>
    /// <exception cref="ArgumentException">The name is taken, or width or version cannot be.</exception>
    public DeviceStateTable Number(string name, int width, Func<ulong> get, Action<ulong> set, ulong largest = ulong.MaxValue, int since = 1)
    {
        ArgumentNullException.ThrowIfNull(get);
        ArgumentNullException.ThrowIfNull(set);
        if (width is not (1 or 2 or 4 or 8))
        {
            throw new ArgumentException($"{Name}.{name}: a width of {width} is not possible; use 1, 2, 4 or 8 bytes.", nameof(width));
        }

        return Bytes(
            name,
            width,
            bytes => Put(bytes, get()),
            bytes => set(Take(bytes)),
            bytes => Take(bytes) <= largest ? null : $"{Take(bytes)} is more than {largest}",
            since);
    }

    /// <summary>Declares a yes or no.</summary>
    /// <param name="name">Its name in the table.</param>
    /// <param name="get">Tells it.</param>
    /// <param name="set">Sets it.</param>
    /// <param name="since">Version of the table in which it came.</param>
    /// <returns>This table.</returns>
    /// <exception cref="ArgumentException">As <see cref="Number"/>.</exception>
    public DeviceStateTable Flag(string name, Func<bool> get, Action<bool> set, int since = 1)
    {
        ArgumentNullException.ThrowIfNull(get);
        ArgumentNullException.ThrowIfNull(set);
        return Number(name, 1, () => get() ? 1u : 0u, value => set(value != 0), largest: 1, since);
    }

    /// <summary>Declares a block of bytes that is saved as one.</summary>
    /// <param name="name">Its name in the table.</param>
    /// <param name="length">Its length, at most 1 MiB.</param>
    /// <param name="save">Fills it.</param>
    /// <param name="load">Takes it.</param>
    /// <param name="check">Says what is wrong with it, or null when it can be loaded; not given: everything can be.</param>
    /// <param name="since">Version of the table in which it came.</param>
    /// <returns>This table.</returns>
    /// <exception cref="ArgumentException">As <see cref="Number"/>.</exception>
    public DeviceStateTable Bytes(
        string name,
        int length,
        Action<Span<byte>> save,
        Action<ReadOnlySpan<byte>> load,
        Func<ReadOnlySpan<byte>, string?>? check = null,
        int since = 1)
    {
        ArgumentNullException.ThrowIfNull(save);
        ArgumentNullException.ThrowIfNull(load);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, LargestField);
        CheckNew(name, since);
        _fields.Add(new DeviceStateField(name, length, since, save, load, check));
        return this;
    }

    /// <summary>
    /// Declares memory of the device. Unlike fields it is saved while the device still works, and once more where it has changed.
    /// </summary>
    /// <param name="name">Its name in the table.</param>
    /// <param name="memory">The memory; always the same one. It is only changed on the strand.</param>
    /// <param name="since">Version of the table in which it came.</param>
    /// <returns>This table.</returns>
    /// <exception cref="ArgumentException">As <see cref="Number"/>.</exception>
    public DeviceStateTable Memory(string name, Memory<byte> memory, int since = 1)
    {
        CheckNew(name, since);
        _memories.Add(new DeviceStateMemory(name, since, memory));
        return this;
    }

    /// <summary>
    /// Says that the memory has been filled anew as a whole, so that what was saved of it before is of no use: whoever saves it meanwhile
    /// and understands that begins again.
    /// </summary>
    public void Rebuilt() => Interlocked.Increment(ref _generation);

    private static void Put(Span<byte> bytes, ulong value)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(word, value);
        word[..bytes.Length].CopyTo(bytes);
    }

    private static ulong Take(ReadOnlySpan<byte> bytes)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        word.Clear();
        bytes.CopyTo(word);
        return BinaryPrimitives.ReadUInt64LittleEndian(word);
    }

    private static void CheckName(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (Encoding.UTF8.GetByteCount(name) > LongestName)
        {
            throw new ArgumentException($"The name {name} is longer than {LongestName} bytes.", nameof(name));
        }
    }

    private void CheckNew(string name, int since)
    {
        CheckName(name);
        if (since < 1 || since > Version)
        {
            throw new ArgumentException($"{Name}.{name}: it cannot have come in version {since} of a table of version {Version}.", nameof(since));
        }

        if (_fields.Exists(f => f.Name == name) || _memories.Exists(m => m.Name == name))
        {
            throw new ArgumentException($"{Name}.{name} is declared already.", nameof(name));
        }
    }
}
