using System.Globalization;
using System.Text;

namespace Penstock.Lab.Tests;

internal sealed record CpioEntry(string Name, uint Mode, uint Links, uint Major, uint Minor, byte[] Content);

/// <summary>Reads newc archives, several in one stream too, written from the format's description alone.</summary>
internal static class CpioReader
{
    public static List<CpioEntry> Read(byte[] bytes)
    {
        var entries = new List<CpioEntry>();
        var at = 0;
        while (at < bytes.Length)
        {
            if (bytes[at] == 0)
            {
                at++;
                continue;
            }

            Assert.Equal(0, at % 4);
            Assert.Equal("070701", Encoding.ASCII.GetString(bytes, at, 6));
            var start = at;
            uint Field(int index) => uint.Parse(Encoding.ASCII.GetString(bytes, start + 6 + (8 * index), 8), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            var (size, nameSize) = ((int)Field(6), (int)Field(11));
            Assert.Equal(0, bytes[at + 110 + nameSize - 1]);
            var name = Encoding.UTF8.GetString(bytes, at + 110, nameSize - 1);
            at = (at + 110 + nameSize + 3) & ~3;
            entries.Add(new CpioEntry(name, Field(1), Field(4), Field(9), Field(10), bytes[at..(at + size)]));
            at = (at + size + 3) & ~3;
        }

        return entries;
    }
}
