using System.Buffers.Text;

namespace Penstock.Cli.Replay;

/// <summary>Words and numbers of a recorded line.</summary>
internal static class RecordedText
{
    /// <summary>The next word, which is then taken away; empty at the end.</summary>
    public static ReadOnlySpan<byte> Word(ref ReadOnlySpan<byte> line)
    {
        line = line.TrimStart((byte)' ');
        int end = line.IndexOf((byte)' ');
        ReadOnlySpan<byte> word = end < 0 ? line : line[..end];
        line = line[word.Length..];
        return word;
    }

    /// <summary>A number in bare hex.</summary>
    public static bool TryHex(ReadOnlySpan<byte> word, out ulong value) =>
        Utf8Parser.TryParse(word, out value, out int used, 'x') && used == word.Length && used <= 2 * sizeof(ulong);

    /// <summary>A number in decimal.</summary>
    public static bool TryDecimal(ReadOnlySpan<byte> word, out ulong value) =>
        Utf8Parser.TryParse(word, out value, out int used) && used == word.Length && word[0] is not ((byte)'+' or (byte)'-');

    /// <summary>The value of a word such as <c>cc=0</c>; empty when the word is another.</summary>
    public static ReadOnlySpan<byte> Value(ReadOnlySpan<byte> word, ReadOnlySpan<byte> name) =>
        word.Length > name.Length && word.StartsWith(name) && word[name.Length] == '=' ? word[(name.Length + 1)..] : default;

    /// <summary>Bytes in bare hex; what does not fit is left out.</summary>
    public static bool TryBytes(ReadOnlySpan<byte> word, Span<byte> destination, out int count)
    {
        count = Math.Min(word.Length / 2, destination.Length);
        return word.Length % 2 == 0
            && Convert.FromHexString(word[..(2 * count)], destination, out _, out int written) == System.Buffers.OperationStatus.Done
            && written == count;
    }
}
