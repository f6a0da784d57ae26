using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>Reads and writes the payload of VERSION: two numbers, then optionally a JSON text that ends in NUL (vfio-user, "Version").</summary>
internal static class VersionMessage
{
    /// <summary>JSON nested deeper than this is refused.</summary>
    private const int MaximumDepth = 8;

    /// <summary>Reads a payload.</summary>
    /// <param name="payload">The bytes behind the header.</param>
    /// <param name="version">The numbers.</param>
    /// <param name="limits">What the peer accepts.</param>
    /// <param name="why">What is wrong, when the result is false.</param>
    /// <returns>Whether the payload is well-formed and the major version is spoken here.</returns>
    public static bool TryRead(ReadOnlySpan<byte> payload, out VfioUserVersion version, out PeerLimits limits, out string why)
    {
        limits = new PeerLimits();
        version = default;
        why = "";
        if (payload.Length < VfioUserVersion.Length)
        {
            why = $"VERSION has {payload.Length} bytes, at least {VfioUserVersion.Length} are needed";
            return false;
        }

        version = MemoryMarshal.Read<VfioUserVersion>(payload);
        if (version.Major != VfioUserLimits.Major)
        {
            why = $"the client speaks version {version.Major}.{version.Minor}, this server {VfioUserLimits.Major}.x";
            return false;
        }

        ReadOnlySpan<byte> text = payload[VfioUserVersion.Length..];
        if (text.IsEmpty)
        {
            return true;
        }

        if (text[^1] != 0)
        {
            why = "the JSON text of VERSION does not end in NUL";
            return false;
        }

        try
        {
            limits = ReadCapabilities(text[..text.IndexOf((byte)0)]);
            return true;
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException)
        {
            why = $"the JSON text of VERSION is not understood: {e.Message}";
            return false;
        }
    }

    /// <summary>Writes a payload.</summary>
    /// <param name="destination">Where; 256 bytes are enough.</param>
    /// <param name="minor">The minor version in use.</param>
    /// <param name="limits">What this side accepts.</param>
    /// <returns>Bytes written. QEMU takes a reply no longer than its own request, about 200 bytes.</returns>
    public static int Write(Span<byte> destination, ushort minor, in PeerLimits limits)
    {
        MemoryMarshal.Write(destination, new VfioUserVersion { Major = VfioUserLimits.Major, Minor = minor });
        var json = new StringBuilder("{\"capabilities\":{");
        json.Append(CultureInfo.InvariantCulture, $"\"max_msg_fds\":{limits.MaximumDescriptors},\"max_data_xfer_size\":{limits.MaximumTransfer}");
        json.Append(CultureInfo.InvariantCulture, $",\"max_dma_maps\":{limits.MaximumDmaMaps},\"pgsizes\":{limits.PageSizes}");
        if (limits.WriteMultiple)
        {
            json.Append(",\"write_multiple\":true");
        }

        if (limits.SparseMmapDescriptors)
        {
            json.Append(",\"sparse_mmap_fds\":true");
        }

        if (limits.TwinSocket)
        {
            json.Append(",\"twin_socket\":{\"supported\":true");
            json.Append(limits.TwinSocketIndex is int index ? string.Create(CultureInfo.InvariantCulture, $",\"fd_index\":{index}}}") : "}");
        }

        if (limits.MigrationPageSize != 0)
        {
            json.Append(CultureInfo.InvariantCulture, $",\"migration\":{{\"pgsize\":{limits.MigrationPageSize}}}");
        }

        json.Append("}}");
        int length = Encoding.ASCII.GetBytes(json.ToString(), destination[VfioUserVersion.Length..]);
        destination[VfioUserVersion.Length + length] = 0;
        return VfioUserVersion.Length + length + 1;
    }

    private static PeerLimits ReadCapabilities(ReadOnlySpan<byte> json)
    {
        var limits = new PeerLimits();
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaximumDepth });
        Expect(reader.Read() && reader.TokenType == JsonTokenType.StartObject, "an object is expected");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("capabilities"u8))
            {
                reader.Read();
                Expect(reader.TokenType == JsonTokenType.StartObject, "'capabilities' is not an object");
                limits = ReadCapabilityObject(ref reader, limits);
            }
            else
            {
                reader.Skip();
            }
        }

        // Read to the end, so that rubbish behind the object is found.
        Expect(!reader.Read(), "there is something behind the object");
        return limits;
    }

    private static PeerLimits ReadCapabilityObject(ref Utf8JsonReader reader, PeerLimits limits)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("max_msg_fds"u8))
            {
                limits = limits with { MaximumDescriptors = (int)Number(ref reader, "max_msg_fds", 0, int.MaxValue) };
            }
            else if (reader.ValueTextEquals("max_data_xfer_size"u8))
            {
                limits = limits with { MaximumTransfer = (int)Number(ref reader, "max_data_xfer_size", 1, int.MaxValue) };
            }
            else if (reader.ValueTextEquals("max_dma_maps"u8))
            {
                limits = limits with { MaximumDmaMaps = (int)Number(ref reader, "max_dma_maps", 1, int.MaxValue) };
            }
            else if (reader.ValueTextEquals("pgsizes"u8))
            {
                limits = limits with { PageSizes = Number(ref reader, "pgsizes", 1, ulong.MaxValue) };
            }
            else if (reader.ValueTextEquals("migration"u8))
            {
                reader.Read();
                Expect(reader.TokenType == JsonTokenType.StartObject, "'migration' is not an object");
                limits = ReadMigration(ref reader, limits);
            }
            else if (reader.ValueTextEquals("write_multiple"u8))
            {
                limits = limits with { WriteMultiple = Boolean(ref reader, "write_multiple") };
            }
            else if (reader.ValueTextEquals("sparse_mmap_fds"u8))
            {
                limits = limits with { SparseMmapDescriptors = Boolean(ref reader, "sparse_mmap_fds") };
            }
            else if (reader.ValueTextEquals("twin_socket"u8))
            {
                reader.Read();
                Expect(reader.TokenType == JsonTokenType.StartObject, "'twin_socket' is not an object");
                limits = ReadTwinSocket(ref reader, limits);
            }
            else
            {
                reader.Skip();
            }
        }

        return limits;
    }

    private static PeerLimits ReadMigration(ref Utf8JsonReader reader, PeerLimits limits)
    {
        limits = limits with { MigrationPageSize = VfioUserLimits.DefaultPageSizes };
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("pgsize"u8))
            {
                limits = limits with { MigrationPageSize = Number(ref reader, "pgsize", 1, ulong.MaxValue) };
                Expect(ulong.IsPow2(limits.MigrationPageSize), "'pgsize' of 'migration' is not a power of two");
            }
            else if (reader.ValueTextEquals("max_bitmap_size"u8))
            {
                limits = limits with { MaximumBitmap = Number(ref reader, "max_bitmap_size", 1, ulong.MaxValue) };
            }
            else
            {
                reader.Skip();
            }
        }

        return limits;
    }

    private static PeerLimits ReadTwinSocket(ref Utf8JsonReader reader, PeerLimits limits)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("supported"u8))
            {
                limits = limits with { TwinSocket = Boolean(ref reader, "supported") };
            }
            else if (reader.ValueTextEquals("fd_index"u8))
            {
                limits = limits with { TwinSocketIndex = (int)Number(ref reader, "fd_index", 0, int.MaxValue) };
            }
            else
            {
                reader.Skip();
            }
        }

        return limits;
    }

    private static bool Boolean(ref Utf8JsonReader reader, string name)
    {
        reader.Read();
        Expect(reader.TokenType is JsonTokenType.True or JsonTokenType.False, $"'{name}' is not a boolean");
        return reader.GetBoolean();
    }

    private static ulong Number(ref Utf8JsonReader reader, string name, ulong least, ulong most)
    {
        reader.Read();
        Expect(reader.TokenType == JsonTokenType.Number, $"'{name}' is not a number");
        Expect(reader.TryGetUInt64(out ulong value) && value >= least, $"'{name}' is not a whole number of at least {least}");
        return Math.Min(value, most);
    }

    private static void Expect(bool condition, string problem)
    {
        if (!condition)
        {
            throw new FormatException(problem);
        }
    }
}
