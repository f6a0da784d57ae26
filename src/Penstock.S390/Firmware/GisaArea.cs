using System.Buffers.Binary;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>A guest interruption state area in the host's storage. All members may be called from any thread; nothing takes a lock or allocates.</summary>
public readonly unsafe struct GisaArea
{
    private readonly nint _area;

    internal GisaArea(HostStorage storage, uint address)
    {
        Address = address;
        _area = storage.Resolve(address);
    }

    /// <summary>Its absolute address.</summary>
    public uint Address { get; }

    /// <summary>The first word as of now.</summary>
    public GisaWord Word
    {
        get
        {
            // SAFETY: the area belongs to a guest that is there.
            return new(FromStorage(Volatile.Read(ref *(ulong*)_area)));
        }
    }

    /// <summary>Whether it is in no alert list.</summary>
    public bool IsFree => Word.NextAlert == Address;

    /// <summary>Mask of a subclass: the first one in the highest bit.</summary>
    /// <param name="subclass">The subclass.</param>
    /// <returns>The mask.</returns>
    public static byte MaskOf(int subclass) => (byte)(ZpciGisa.FirstSubclass >> subclass);

    /// <summary>Replaces the first word, unless it has changed.</summary>
    /// <param name="seen">What it was; receives what it is when it has changed.</param>
    /// <param name="word">What it is to be.</param>
    /// <returns>Whether it was replaced.</returns>
    public bool TryReplace(ref GisaWord seen, GisaWord word)
    {
        ulong expected = FromStorage(seen.Value);

        // SAFETY: as above.
        ulong found = Interlocked.CompareExchange(ref *(ulong*)_area, FromStorage(word.Value), expected);
        seen = new GisaWord(FromStorage(found));
        return found == expected;
    }

    internal void Initialize()
    {
        // SAFETY: as above.
        Volatile.Write(ref *(ulong*)_area, FromStorage(new GisaWord { NextAlert = Address }.Value));
    }

    private static ulong FromStorage(ulong value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
}
