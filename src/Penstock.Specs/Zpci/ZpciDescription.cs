using System.Runtime.CompilerServices;

namespace Penstock.Specs.Zpci;

/// <summary>A text about a function, in EBCDIC.</summary>
[InlineArray(Count)]
public struct ZpciDescription
{
    /// <summary>How many there are.</summary>
    public const int Count = 64;

    private byte _first;

    internal static ZpciDescription Read(ReadOnlySpan<byte> source)
    {
        ZpciDescription value = default;
        source[..Count].CopyTo(value);
        return value;
    }

    internal readonly void Write(Span<byte> destination) => ((ReadOnlySpan<byte>)this).CopyTo(destination);
}
