using System.Text;

namespace Penstock.S390;

/// <summary>Text as s390 firmware writes it.</summary>
internal static class Ebcdic
{
    private const int UnitedStates = 37;
    private const char Unprintable = '.';

    // Asked of the provider itself: registering it would change what the whole process understands.
    private static Encoding Page => CodePagesEncodingProvider.Instance.GetEncoding(UnitedStates)!;

    /// <summary>What the bytes say, without what only fills them up; signs that cannot be printed become dots.</summary>
    public static string Decode(ReadOnlySpan<byte> bytes)
    {
        string text = Page.GetString(bytes).TrimEnd('\0', ' ');
        return string.Concat(text.Select(static c => char.IsControl(c) ? Unprintable : c));
    }

    /// <summary>A text in a field of fixed length, filled up with blanks; what is too long is cut.</summary>
    public static byte[] Encode(string text, int length) => Page.GetBytes(text.PadRight(length)[..length]);
}
