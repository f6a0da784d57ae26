using System.Globalization;
using System.Text;

namespace Penstock.Vfio;

/// <summary>Text of a peer as it may stand in a line for people: short, on one line, and nothing that a terminal obeys.</summary>
internal static class PeerText
{
    private const int Longest = 64;
    private const string Cut = "...";

    /// <summary>At most 64 characters; control characters are <c>\xNN</c>, others that nobody sees <c>\uNNNN</c>.</summary>
    public static string Quote(string text)
    {
        var quoted = new StringBuilder(Longest);
        int fits = 0;
        foreach (char c in text)
        {
            quoted.Append(IsSeen(c) ? c.ToString() : c <= 0xff ? $"\\x{(int)c:x2}" : $"\\u{(int)c:x4}");
            if (quoted.Length > Longest)
            {
                quoted.Length = fits;
                return quoted.Append(Cut).ToString();
            }

            fits = quoted.Length <= Longest - Cut.Length ? quoted.Length : fits;
        }

        return quoted.ToString();
    }

    private static bool IsSeen(char c) => char.GetUnicodeCategory(c) is not (UnicodeCategory.Control or UnicodeCategory.Format
        or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Surrogate
        or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned);
}
