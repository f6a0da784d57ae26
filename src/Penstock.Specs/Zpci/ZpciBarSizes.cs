using System.Runtime.CompilerServices;

namespace Penstock.Specs.Zpci;

/// <summary>Log2 of the sizes of six BARs.</summary>
[InlineArray(Count)]
public struct ZpciBarSizes
{
    /// <summary>How many there are.</summary>
    public const int Count = 6;

    private byte _first;

    internal static ZpciBarSizes Read(ReadOnlySpan<byte> source)
    {
        ZpciBarSizes value = default;
        source[..Count].CopyTo(value);
        return value;
    }

    internal readonly void Write(Span<byte> destination) => ((ReadOnlySpan<byte>)this).CopyTo(destination);
}
