using System.Globalization;
using System.Text.RegularExpressions;

namespace Penstock.Lab.Qemu;

/// <summary>Reads what <c>qemu-system-… --version</c> prints.</summary>
internal static partial class QemuVersion
{
    /// <summary>The first release whose vfio-user client does message DMA right.</summary>
    public static readonly Version Needed = new(11, 0);

    /// <summary>The version in a line such as <c>QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)</c>, or null.</summary>
    public static Version? Parse(string text)
    {
        var match = VersionLine().Match(text);
        return match.Success
            ? new Version(Part(match, 1), Part(match, 2), match.Groups[3].Success ? Part(match, 3) : 0)
            : null;
    }

    private static int Part(Match match, int group) => int.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^QEMU emulator version (\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", RegexOptions.Multiline)]
    private static partial Regex VersionLine();
}
