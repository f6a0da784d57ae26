using System.Buffers.Binary;
using System.Text;

namespace Penstock.Lab.Kernel;

/// <summary>
/// Writes the binary form of a module index, a trie in one file: what libkmod's programs (modprobe, <c>lspci -k</c>) read instead of the text
/// form, which is busybox's. A node is written after its children and holds its part of the key, its children's places and its values, each
/// as far as it has them; flags in the upper bits of a node's place say which. Numbers are big endian.
/// </summary>
internal static class ModuleIndex
{
    private const uint Magic = 0xB007F457;
    private const uint Version = 0x00020001;
    private const uint HasPrefix = 0x80000000;
    private const uint HasValues = 0x40000000;
    private const uint HasChildren = 0x20000000;

    /// <summary>The index of the entries; several may have one key. Keys beyond ASCII, which the format does not know, are left out.</summary>
    public static byte[] Write(IEnumerable<(string Key, string Value)> entries)
    {
        var sorted = entries.Where(e => Ascii.IsValid(e.Key)).Distinct().OrderBy(e => e.Key, StringComparer.Ordinal).ToArray();
        using var file = new MemoryStream();
        Number(file, Magic);
        Number(file, Version);
        Number(file, 0);
        var root = Node(file, sorted, 0);
        file.Position = 2 * sizeof(uint);
        Number(file, root);
        return file.ToArray();
    }

    /// <summary>Writes the node whose keys have their first <paramref name="depth"/> characters in common, and all below it.</summary>
    private static uint Node(MemoryStream file, ReadOnlySpan<(string Key, string Value)> entries, int depth)
    {
        // Keys are in order, so what the first and the last share, all share; and a key that ends here comes before those that go on.
        var prefix = entries.IsEmpty ? "" : entries[0].Key[depth..(depth + entries[0].Key.AsSpan(depth).CommonPrefixLength(entries[^1].Key.AsSpan(depth)))];
        var end = depth + prefix.Length;
        var count = 0;
        while (count < entries.Length && entries[count].Key.Length == end)
        {
            count++;
        }

        var values = entries[..count];
        var rest = entries[count..];
        var (first, last) = rest.IsEmpty ? ('\0', '\0') : (rest[0].Key[end], rest[^1].Key[end]);
        var children = new uint[rest.IsEmpty ? 0 : last - first + 1];
        while (!rest.IsEmpty)
        {
            var next = rest[0].Key[end];
            var same = 1;
            while (same < rest.Length && rest[same].Key[end] == next)
            {
                same++;
            }

            children[next - first] = Node(file, rest[..same], end + 1);
            rest = rest[same..];
        }

        return Write(file, prefix, (byte)first, (byte)last, children, values);
    }

    private static uint Write(
        MemoryStream file, string prefix, byte first, byte last, uint[] children, ReadOnlySpan<(string Key, string Value)> values)
    {
        var place = (uint)file.Position;
        if (prefix.Length > 0)
        {
            place |= HasPrefix;
            Text(file, prefix);
        }

        if (children.Length > 0)
        {
            place |= HasChildren;
            file.WriteByte(first);
            file.WriteByte(last);
            foreach (var child in children)
            {
                Number(file, child);
            }
        }

        if (!values.IsEmpty)
        {
            place |= HasValues;
            Number(file, (uint)values.Length);
            for (var i = 0; i < values.Length; i++)
            {
                Number(file, (uint)i);
                Text(file, values[i].Value);
            }
        }

        return place;
    }

    private static void Number(MemoryStream file, uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        file.Write(bytes);
    }

    private static void Text(MemoryStream file, string text) => file.Write(Encoding.UTF8.GetBytes(text + "\0"));
}
