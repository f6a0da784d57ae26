using Penstock.Specs.Zpci;

namespace Penstock.S390.Tests.Codecs;

/// <summary>Each block against its bytes, which are laid out by hand from the specification's tables.</summary>
public sealed class GoldenBlockTests
{
    [Fact]
    public void Fib_AllFields()
    {
        byte[] golden = Bytes(
            "00 00000000000000", "d0 00000000000000", "0000000100000000", "000000011fffffff", "0000000002854804",
            "7abc2a85", "00000000", "0000000074d03008", "0000000074d00810", "000000001fe62102", "00000000", "deadbeef");
        Assert.Equal(ZpciFib.Length, golden.Length);

        ZpciFib fib = ZpciFib.Read(golden);

        Assert.Equal(ZpciFib.AdapterInterrupts, fib.Format);
        Assert.Equal(ZpciFunctionControls.Enabled | ZpciFunctionControls.Error | ZpciFunctionControls.DmaRegistered, fib.Controls);
        Assert.Equal((0x1_0000_0000ul, 0x1_1fff_fffful, 0x285_4804ul), (fib.FirstAddress, fib.LastAddress, fib.Iota));
        Assert.Equal((0x74d0_3008ul, 0x74d0_0810ul), (fib.VectorAddress, fib.SummaryAddress));
        Assert.Equal((0x1fe6_2102ul, 0xdead_beefu), (fib.Measurement, fib.Designation));
        var word = new ZpciInterruptWord(fib.InterruptWord);
        Assert.Equal((7, 0xabc, 0x2a, true, 5), (word.Subclass, word.Interrupts, word.VectorOffset, word.HasSummary, word.SummaryOffset));
        Assert.Equal(golden, Written(fib.Write, ZpciFib.Length));
        var built = new ZpciInterruptWord { Subclass = 7, Interrupts = 0xabc, VectorOffset = 0x2a, HasSummary = true, SummaryOffset = 5 };
        Assert.Equal(word, built);
    }

    [Fact]
    public void Events_AllFields()
    {
        var error = new ZpciErrorEventBlock
        {
            Handle = 0x8102_0003, FunctionId = 9, Details = 0x1234_5602, Address = 0x1_0000_2000, Code = ZpciErrorEvent.TranslationType,
        };
        byte[] golden = Bytes("00000000", "81020003", "00000009", "12345602", "0000000100002000", "00000000", "0000", "0009");
        Assert.Equal(golden, Written(error.Write, ZpciErrorEventBlock.Length));
        Assert.Equal(error, ZpciErrorEventBlock.Read(golden));

        var plug = new ZpciAvailabilityEventBlock { Handle = 0x20003, FunctionId = 9, Code = ZpciAvailabilityEvent.StandbyToReserved };
        golden = Bytes("00000000", "00020003", "00000009", "00000000 00000000 00000000 00000000", "0000", "0308");
        Assert.Equal(golden, Written(plug.Write, ZpciAvailabilityEventBlock.Length));
        Assert.Equal(plug, ZpciAvailabilityEventBlock.Read(golden));
    }

    [Fact]
    public void ClpList_RequestResponseAndEntry()
    {
        byte[] request = Bytes("0020 0002 00000000 0000000000000000", "0000000000000007", "0000000000000000");
        ZpciClpListRequest list = ZpciClpListRequest.Read(request);
        Assert.Equal((32, (ushort)ZpciClpCommand.ListPci, 7ul), (list.Header.BlockLength, list.Header.Code, list.ResumeToken));
        Assert.True(list.Header.IsReservedZero);
        Assert.Equal(request, Written(list.Write, ZpciClpListRequest.Length));

        byte[] response = Bytes("0030 0010 00000000 0000000000000000", "0000000000000000", "00ff0000", "1000", "01", "10");
        ZpciClpListResponse answer = ZpciClpListResponse.Read(response);
        Assert.Equal((ushort)ZpciClpResponse.Ok, answer.Header.Code);
        Assert.Equal(ZpciHandle.HypervisorMask, answer.HypervisorMask);
        Assert.Equal((ZpciLimits.MaximumFunctions, ZpciClpListResponse.UniqueIds), (answer.MaximumFunctions, answer.Flags));
        Assert.Equal(ZpciClpListEntry.Length, answer.EntryLength);
        Assert.Equal(response, Written(answer.Write, ZpciClpListResponse.Length));

        byte[] entry = Bytes("11e9", "1234", "80000000", "00000009", "00020000");
        ZpciClpListEntry function = ZpciClpListEntry.Read(entry);
        Assert.Equal((0x11e9, 0x1234, ZpciClpListEntry.Configured), (function.DeviceId, function.VendorId, function.Configuration));
        Assert.Equal((9u, ZpciHandle.EmulatedDevice), (function.FunctionId, function.Handle));
        Assert.Equal(entry, Written(function.Write, ZpciClpListEntry.Length));
    }

    [Fact]
    public void ClpHeader_FormatAndReserved()
    {
        ZpciClpHeader header = ZpciClpHeader.Read(Bytes("0020 0002 10000000 0000000000000000"));
        Assert.Equal(1u, header.Format);
        Assert.True(header.IsReservedZero);
        Assert.False(ZpciClpHeader.Read(Bytes("0020 0002 00000001 0000000000000000")).IsReservedZero);
        Assert.False(ZpciClpHeader.Read(Bytes("0020 0002 00000000 0000000000000001")).IsReservedZero);
    }

    [Fact]
    public void ClpQueryGroup_RequestAndResponse()
    {
        byte[] request = Bytes("0020 0004 00000000 0000000000000000", "000000ff", "00000000 00000000 00000000");
        ZpciClpQueryRequest query = ZpciClpQueryRequest.Read(request);
        Assert.Equal((uint)ZpciLimits.DefaultGroup, query.Subject & ZpciClpQueryRequest.GroupMask);
        Assert.Equal(request, Written(query.Write, ZpciClpQueryRequest.Length));

        byte[] response = Bytes(
            "0040 0010 00000000 0000000000000000", "0080", "03", "21", "0080", "0fa0", "40", "00", "0005", "0007", "0009",
            "000000000000000f", "fe00000000000000", "0000000000000000 0000000000000000");
        ZpciClpQueryGroupResponse group = ZpciClpQueryGroupResponse.Read(response);
        Assert.Equal((ZpciLimits.Interrupts, (byte)3), (group.Interrupts, group.Version));
        Assert.Equal(ZpciClpQueryGroupResponse.RelaxedTranslation | ZpciClpQueryGroupResponse.Refresh, group.Flags);
        Assert.Equal((ZpciLimits.MaximumStore, ZpciLimits.MeasurementInterval), (group.MaximumStore, group.MeasurementInterval));
        Assert.Equal((5, 7, 9), (group.MaximumFrames, group.DirectedInterrupts, group.MaximumProcessors));
        Assert.Equal((0xful, ZpciLimits.MsiAddress), (group.DmaAddressMask, group.MsiAddress));
        Assert.Equal(ZpciDtsm.RegionThirdOnly, group.DesignationTypes);
        Assert.Equal(response, Written(group.Write, ZpciClpQueryGroupResponse.Length));
    }

    [Fact]
    public void ClpSet_RequestAndResponse()
    {
        byte[] request = Bytes("0020 0005 00000000 0000000000000000", "80020000", "0000", "01", "01", "00000000", "12345678");
        ZpciClpSetRequest set = ZpciClpSetRequest.Read(request);
        Assert.Equal((0x8002_0000u, ZpciSetOperation.Disable, (byte)1, 0x1234_5678u), (set.Handle, set.Operation, set.DmaSpaces, set.Designation));
        Assert.Equal(request, Written(set.Write, ZpciClpSetRequest.Length));

        byte[] response = Bytes("00a0 0010 00000000 0000000000000000", "00020000", "00000000 00000000 00000000");
        Assert.Equal(0x20000u, ZpciClpSetResponse.Read(response).Handle);
        Assert.Equal(response, Written(ZpciClpSetResponse.Read(response).Write, ZpciClpSetResponse.Length));
    }

    [Fact]
    public void ClpQueryFunction_Response_EachFieldAtItsOffset()
    {
        byte[] golden = new byte[ZpciClpQueryFunctionResponse.Length];
        void Put(int offset, string hex) => Bytes(hex).CopyTo(golden, offset);
        Put(0, "0180 0010 00000000 0000000000000000");
        Put(16, "0102 3b ff 00000009 0e0000000000");
        Put(30, "0123 04300020 00000000 00000000 00000000 00000000 78563412");
        Put(56, "a1b2c3d4 05 02 10 05 0000000100000000 01ffffffffffffff");
        Put(80, "0708");
        Put(86, "090a");
        Put(124, "00000007");
        Put(128, "c1c2");
        Put(190, "c3c4");
        Put(256, "fc");
        Put(264, "1122334455667788 99aabbccddeeff00");
        Put(352, "0102030405060708");

        ZpciClpQueryFunctionResponse function = ZpciClpQueryFunctionResponse.Read(golden);

        Assert.Equal((0x0102, 0x3b, 0xff, 9u), (function.VirtualFunction, function.Flags, function.Group, function.FunctionId));
        Assert.Equal((14, 0), (function.BarSizes[0], function.BarSizes[5]));
        Assert.Equal((0x2000_3004u, 0x1234_5678u), (function.Bars[0], function.Bars[5]));
        Assert.Equal((0x0123, 0xa1b2_c3d4u), (function.PhysicalChannel, function.Path));
        Assert.Equal((5, 2, 16), (function.IdParameter, function.Port, function.MeasurementWords));
        Assert.Equal(ZpciClpQueryFunctionResponse.IsmFunction, function.FunctionType);
        Assert.Equal((ZpciLimits.StartDma, ZpciLimits.EndDma), (function.StartDma, function.EndDma));
        Assert.Equal((0x0708, 0x090a, 7u), (function.RequesterId, function.TargetId, function.UserId));
        Assert.Equal((0xc1, 0xc2, 0xc3, 0xc4), (function.Util[0], function.Util[1], function.Util[62], function.Util[63]));
        Assert.Equal((0xfc, 0x1122_3344_5566_7788ul, 0x99aa_bbcc_ddee_ff00ul), (function.MioValid, function.Mio[0], function.Mio[1]));
        Assert.Equal(0x0102_0304_0506_0708ul, function.Mio[11]);
        Assert.Equal(golden, Written(function.Write, golden.Length));
    }

    [Fact]
    public void Measurement_AllFields()
    {
        byte[] golden = Bytes(
            "00 000000", "00000003", "0123456789abcdef", "0000000000000001", "0000000000000002", "0000000000000004", "0000000000000008",
            "0000000000000010", "0000000000000020");
        ZpciFmb block = ZpciFmb.Read(golden);
        Assert.Equal((3u, 0x0123_4567_89ab_cdeful), (block.Samples, block.LastUpdate));
        Assert.NotEqual(0ul, block.LastUpdate & ZpciFmb.Updating);
        Assert.Equal((1ul, 2ul, 4ul, 8ul), (block.Loads, block.Stores, block.BlockStores, block.Refreshes));
        Assert.Equal((16ul, 32ul), (block.DmaReadBytes, block.DmaWrittenBytes));
        Assert.Equal(golden, Written(block.Write, ZpciFmb.Length));
    }

    [Fact]
    public void Interruption_Structures_AllFields()
    {
        byte[] aipb = Bytes("0000000012345000", "0000000056789000", "0005", "00000000", "0200");
        ZpciAipb parameters = ZpciAipb.Read(aipb);
        Assert.Equal((0x1234_5000ul, 0x5678_9000ul), (parameters.SummaryVector, parameters.Table));
        Assert.Equal((5, ZpciAipb.UsualEntries), (parameters.ForwardingSubclass, parameters.Entries));
        Assert.Equal(aipb, Written(parameters.Write, ZpciAipb.Length));

        byte[] gaite = Bytes("12345601", "03", "02", "00", "07", "00000000abcdef08");
        ZpciGaitEntry entry = ZpciGaitEntry.Read(gaite);
        Assert.Equal((0x1234_5601u, 3, 2, 7), (entry.Designation, entry.Subclass, entry.Count, entry.SummaryOffset));
        Assert.Equal(0xabcd_ef08ul, entry.SummaryAddress);
        Assert.Equal(gaite, Written(entry.Write, ZpciGaitEntry.Length));

        byte[] gib = Bytes("12345600", "00000000", "05", "00000000000000 0000000000000000 0000000000000000");
        ZpciGib block = ZpciGib.Read(gib);
        Assert.Equal((0x1234_5600u, 5), (block.AlertListOrigin, block.Subclass));
        Assert.Equal(gib, Written(block.Write, ZpciGib.Length));
    }

    [Fact]
    public void Blocks_ShortBuffers_AreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(static () => ZpciFib.Read(new byte[ZpciFib.Length - 1]));
        Assert.Throws<ArgumentOutOfRangeException>(static () => default(ZpciGib).Write(new byte[ZpciGib.Length - 1]));
    }

    private delegate void Writer(Span<byte> destination);

    /// <summary>Written over other bytes: what is reserved has to become 0.</summary>
    private static byte[] Written(Writer write, int length)
    {
        byte[] bytes = [.. Enumerable.Repeat((byte)0xee, length + 8)];
        write(bytes);
        Assert.All(bytes[length..], static b => Assert.Equal(0xee, b));
        return bytes[..length];
    }

    private static byte[] Bytes(params string[] hex) => Convert.FromHexString(string.Concat(hex).Replace(" ", "", StringComparison.Ordinal));
}
