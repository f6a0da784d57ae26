using System.Buffers.Binary;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>CLP: what a guest finds out about its functions, and how it switches them.</summary>
public sealed class ClpTests : IDisposable
{
    private const int ListRoom = ZpciClpListResponse.Length + (4 * ZpciClpListEntry.Length);

    private readonly ZpciGuestRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(0, 32)]
    [InlineData(8, 32)]
    [InlineData(20, 32)]
    [InlineData(8192, 32)]
    [InlineData(32, 0)]
    [InlineData(32, 12)]
    [InlineData(32, 8184)]
    [InlineData(4096, 4104)]
    public void Call_LengthsAreImpossible_OperandException(int request, int response)
    {
        Assert.Equal(ZpciProgramException.Operand, Raw(request, response).Exception);
    }

    [Theory]
    [InlineData(16, 8)]
    [InlineData(24, 8)]
    [InlineData(40, 48)]
    [InlineData(4096, 4096)]
    public void Call_RequestNotOf32Bytes_BadLengthBeforeTheCommandIsLookedAt(int request, int response)
    {
        ZpciResult result = Raw(request, response);
        Assert.Equal(ZpciResult.Done(ZpciGuestRig.ClpAddress), result);
        Assert.Equal(ZpciClpResponse.BadLength, CodeAt(request));
    }

    [Fact]
    public void Call_BlockOutsideOfMemory_AddressingException()
    {
        Assert.Equal(ZpciProgramException.Addressing, _rig.Bus.CallLogicalProcessor(ZpciGuestRig.MemorySize).Exception);
        BinaryPrimitives.WriteUInt16BigEndian(_rig.Memory.Span(ZpciGuestRig.MemorySize - 16, 2), 32);
        Assert.Equal(ZpciProgramException.Addressing, _rig.Bus.CallLogicalProcessor(ZpciGuestRig.MemorySize - 16).Exception);
        Assert.Equal(ZpciProgramException.Addressing, _rig.Bus.CallLogicalProcessor(ulong.MaxValue - 7).Exception);
    }

    [Fact]
    public void Call_UnknownCommand_ItsCode()
    {
        byte[] answer = _rig.Clp(Request((ZpciClpCommand)6), 8, out ZpciResult result);
        Assert.Equal(ZpciConditionCode.Done, result.ConditionCode);
        Assert.Equal(ZpciClpResponse.UnknownCommand, CodeOf(answer));
    }

    [Theory]
    [InlineData(0x1000_0000u, 0ul, 7ul, 8, ZpciClpResponse.BadFormat, 0)]
    [InlineData(0x0000_0001u, 0ul, 7ul, 8, ZpciClpResponse.ReservedNotZero, 0)]
    [InlineData(0u, 1ul, 7ul, 8, ZpciClpResponse.ReservedNotZero, 0)]
    [InlineData(0u, 0ul, 7ul, 8, ZpciClpResponse.BadResumeToken, 0)]
    [InlineData(0u, 0ul, 0x1_0000ul, 8, ZpciClpResponse.BadResumeToken, 0)]
    [InlineData(0u, 0ul, 0ul, 40, ZpciClpResponse.Needs8K, 0)]
    [InlineData(0u, 0ul, 0ul, 56, ZpciClpResponse.BadLength, 3)]
    public void List_SeveralThingsWrong_TheFirstInOrderIsNamed(uint format, ulong reserved, ulong token, int room, ZpciClpResponse code, int conditionCode)
    {
        _rig.Plug();
        byte[] answer = _rig.Clp(ListRequest(token, format, reserved), room, out ZpciResult result);
        Assert.Equal(code, CodeOf(answer));
        Assert.Equal(conditionCode, (int)result.ConditionCode);
    }

    [Fact]
    public void List_BytesBehindTheToken_AreNotLookedAt()
    {
        _rig.Plug();
        byte[] request = ListRequest(0);
        request[^1] = 1;
        Assert.Equal(ZpciClpResponse.Ok, CodeOf(_rig.Clp(request, 48, out _)));
    }

    [Fact]
    public void List_OneFunction_ExactBytes()
    {
        _rig.Plug(id: 9);
        byte[] answer = _rig.Clp(ListRequest(0), 8160, out ZpciResult result);
        Assert.Equal(ZpciConditionCode.Done, result.ConditionCode);
        Assert.Equal(
            "00300010000000000000000000000000000000000000000000ff000010000110" + "00101b36800000000000000900010000",
            Convert.ToHexStringLower(answer[..48]));
        Assert.All(answer[48..], b => Assert.Equal(0xee, b));
    }

    [Fact]
    public void List_MoreThanFit_ResumeTokenLeadsThroughAll()
    {
        for (uint i = 0; i < 6; i++)
        {
            _rig.Plug(configured: i != 2);
        }

        ZpciGuestFunction gone = _rig.Bus.Functions[1];
        _rig.Bus.Remove(gone);
        byte[] answer = _rig.Clp(ListRequest(0), ListRoom, out _);
        ZpciClpListResponse first = ZpciClpListResponse.Read(answer);
        Assert.Equal(5ul, first.ResumeToken);
        Assert.Equal(ListRoom, first.Header.BlockLength);
        Assert.Equal([0u, 2u, 3u, 4u], EntriesOf(answer).Select(static e => e.Handle & ZpciHandle.IndexMask));
        Assert.Equal([true, false, true, true], EntriesOf(answer).Select(static e => (e.Configuration & ZpciClpListEntry.Configured) != 0));
        answer = _rig.Clp(ListRequest(first.ResumeToken), ListRoom, out _);
        Assert.Equal(0ul, ZpciClpListResponse.Read(answer).ResumeToken);
        Assert.Equal(5u, Assert.Single(EntriesOf(answer)).Handle & ZpciHandle.IndexMask);

        // Exactly as many as fit: there is no next one.
        answer = _rig.Clp(ListRequest(0), ListRoom + ZpciClpListEntry.Length, out _);
        Assert.Equal(0ul, ZpciClpListResponse.Read(answer).ResumeToken);
    }

    [Fact]
    public void QueryFunction_ZpciDevice_WhatItsCapabilitiesSay()
    {
        ZpciGuestFunction function = _rig.Plug(id: 0x77);
        byte[] answer = _rig.Clp(QueryRequest(ZpciClpCommand.QueryFunction, function.Handle), ZpciClpQueryFunctionResponse.Length, out _);
        ZpciClpQueryFunctionResponse found = ZpciClpQueryFunctionResponse.Read(answer);
        Assert.Equal((ushort)ZpciClpResponse.Ok, found.Header.Code);
        Assert.Equal(ZpciClpQueryFunctionResponse.Length, found.Header.BlockLength);
        Assert.Equal(0x77u, found.FunctionId);
        Assert.Equal(function.UserId, (ushort)found.UserId);
        Assert.Equal(14, found.BarSizes[0]);
        Assert.Equal(0, found.BarSizes[1]);
        Assert.Equal(4u, found.Bars[0]);
        Assert.Equal(ZpciLimits.StartDma, found.StartDma);
        Assert.Equal(0, found.MeasurementWords);
        Assert.Equal(0, found.FunctionType);
        Assert.Equal(ZpciClpQueryFunctionResponse.UtilValid, found.Flags);
        Assert.Equal(0xe3, found.Util[0]);
        Assert.Equal(function.Group.Id, found.Group);
    }

    [Fact]
    public void QueryFunction_DeviceWithoutCapabilities_ExactBytes()
    {
        ZpciGuestFunction function = _rig.Bus.Plug(_rig.Open(isZpci: false), new ZpciFunctionOptions { FunctionId = 9, UserId = 7 });
        byte[] answer = _rig.Clp(QueryRequest(ZpciClpCommand.QueryFunction, function.Handle), ZpciClpQueryFunctionResponse.Length, out _);
        string zeroes = new('0', 2 * 256);
        Assert.Equal(
            "01800010000000000000000000000000" + "000000ff" + "00000009" + "0e0000000000" + "0000" + "04000000" + zeroes[..(2 * 28)]
            + "0000000100000000" + "01ffffffffffffff" + zeroes[..(2 * 44)] + "00000007" + zeroes,
            Convert.ToHexStringLower(answer));
    }

    [Fact]
    public void QueryFunction_WrongHandleOrLittleRoom_RefusedOrCut()
    {
        ZpciGuestFunction function = _rig.Plug();
        byte[] refused = _rig.Clp(QueryRequest(ZpciClpCommand.QueryFunction, function.Handle | ZpciHandle.Enabled), 384, out _);
        Assert.Equal(ZpciClpResponse.InvalidHandle, CodeOf(refused));
        byte[] cut = _rig.Clp(QueryRequest(ZpciClpCommand.QueryFunction, function.Handle), 24, out _);
        Assert.Equal(ZpciClpResponse.Ok, CodeOf(cut));
        Assert.All(_rig.Memory.Span(ZpciGuestRig.ClpAddress + 32 + 24, 64).ToArray(), b => Assert.Equal(0xee, b));
    }

    [Fact]
    [Trait("Row", "S0-11")]
    [Trait("Row", "S3-1")]
    public void QueryGroup_DefaultGroup_ExactBytes()
    {
        byte[] answer = _rig.Clp(QueryRequest(ZpciClpCommand.QueryGroup, ZpciLimits.DefaultGroup), ZpciClpQueryGroupResponse.Length, out _);
        Assert.Equal(
            "004000100000000000000000000000000080000100800fa040000000000000000000000000000000fe0000000000000000000000000000000000000000000000",
            Convert.ToHexStringLower(answer));
        answer = _rig.Clp(QueryRequest(ZpciClpCommand.QueryGroup, 0x33), ZpciClpQueryGroupResponse.Length, out _);
        Assert.Equal(ZpciClpResponse.UnknownGroup, CodeOf(answer));
    }

    [Theory]
    [InlineData(ZpciSetOperation.Enable, 0, ZpciClpResponse.BadDmaSpaceCount)]
    [InlineData(ZpciSetOperation.Enable, 2, ZpciClpResponse.InsufficientResources)]
    [InlineData(ZpciSetOperation.Enable, 1, ZpciClpResponse.Ok)]
    [InlineData(ZpciSetOperation.Disable, 1, ZpciClpResponse.HandleNotValidForOperation)]
    [InlineData(ZpciSetOperation.EnableMio, 1, ZpciClpResponse.HandleNotValidForOperation)]
    [InlineData(ZpciSetOperation.DisableMio, 1, ZpciClpResponse.HandleNotValidForOperation)]
    [InlineData((ZpciSetOperation)77, 1, ZpciClpResponse.HandleNotValidForOperation)]
    public void Set_DisabledFunction_CodeAsTheTableSays(ZpciSetOperation operation, byte spaces, ZpciClpResponse code)
    {
        ZpciGuestFunction function = _rig.Plug();
        Assert.Equal(code, _rig.Set(function, operation, spaces));
        Assert.Equal(code == ZpciClpResponse.Ok, function.State == ZpciFunctionState.Enabled);
    }

    [Fact]
    public void Set_EnableAndDisable_HandleInTheAnswerAndOldOneInvalid()
    {
        ZpciGuestFunction function = _rig.Plug();
        uint off = function.Handle;
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(off, ZpciSetOperation.Enable, 1, out uint on));
        Assert.Equal(off | ZpciHandle.Enabled, on);
        Assert.Equal(ZpciClpResponse.InvalidHandle, _rig.Set(off, ZpciSetOperation.Disable, 1, out _));
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(on, ZpciSetOperation.Disable, 1, out uint again));
        Assert.Equal(off, again);
    }

    [Fact]
    public void Groups_SimulatedForEachOfTheHost_UntilThereAreNoIdsLeft()
    {
        var ids = new List<byte>();
        for (byte host = 0; host < 17; host++)
        {
            ids.Add(_rig.Plug(zpci: Function(host)).Group.Id);
        }

        Assert.Equal(Enumerable.Range(0xf0, 15).Select(static i => (byte)i).Concat(new byte[] { 0xff, 0xff }), ids);
        Assert.Equal(0xf3, _rig.Plug(zpci: Function(3)).Group.Id);
        Assert.Equal(0xff, _rig.Plug(zpci: Function(0xf2)).Group.Id);
        byte[] answer = _rig.Clp(QueryRequest(ZpciClpCommand.QueryGroup, 0xf3), ZpciClpQueryGroupResponse.Length, out _);
        Assert.Equal(64, ZpciClpQueryGroupResponse.Read(answer).Interrupts);
    }

    private Penstock.S390.ZpciFunction Function(byte group) => new(group, group)
    {
        Firmware = _rig.Machine.Firmware,
        Base = new ZpciBaseInfo { StartDma = ZpciLimits.StartDma, EndDma = ZpciLimits.EndDma, GroupId = group },
        Group = new ZpciGroupInfo { MsiAddress = ZpciLimits.MsiAddress, Interrupts = 64, MaximumStore = 128, MeasurementInterval = 4000 },
    };

    private static byte[] Request(ZpciClpCommand command)
    {
        byte[] request = new byte[ZpciLimits.ClpRequest];
        new ZpciClpHeader { BlockLength = ZpciLimits.ClpRequest, Code = (ushort)command }.Write(request);
        return request;
    }

    private static byte[] ListRequest(ulong token, uint format = 0, ulong reserved = 0)
    {
        byte[] request = new byte[ZpciLimits.ClpRequest];
        new ZpciClpListRequest
        {
            Header = new ZpciClpHeader { BlockLength = ZpciLimits.ClpRequest, Code = (ushort)ZpciClpCommand.ListPci, FormatWord = format, Reserved = reserved },
            ResumeToken = token,
        }.Write(request);
        return request;
    }

    private static byte[] QueryRequest(ZpciClpCommand command, uint subject)
    {
        byte[] request = Request(command);
        new ZpciClpQueryRequest { Header = ZpciClpHeader.Read(request), Subject = subject }.Write(request);
        return request;
    }

    private static ZpciClpResponse CodeOf(ReadOnlySpan<byte> answer) => (ZpciClpResponse)BinaryPrimitives.ReadUInt16BigEndian(answer[2..]);

    private static List<ZpciClpListEntry> EntriesOf(byte[] answer)
    {
        int length = ZpciClpListResponse.Read(answer).Header.BlockLength;
        var all = new List<ZpciClpListEntry>();
        for (int at = ZpciClpListResponse.Length; at < length; at += ZpciClpListEntry.Length)
        {
            all.Add(ZpciClpListEntry.Read(answer.AsSpan(at)));
        }

        return all;
    }

    private ZpciClpResponse CodeAt(int request) => CodeOf(_rig.Memory.Span(ZpciGuestRig.ClpAddress + (ulong)request, 4));

    private ZpciResult Raw(int request, int response)
    {
        Span<byte> block = _rig.Memory.Span(ZpciGuestRig.ClpAddress, 0x4000);
        block.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(block, (ushort)request);
        BinaryPrimitives.WriteUInt16BigEndian(block[2..], (ushort)ZpciClpCommand.ListPci);
        BinaryPrimitives.WriteUInt16BigEndian(block[request..], (ushort)response);
        if (request == 0)
        {
            BinaryPrimitives.WriteUInt16BigEndian(block, 0);
        }

        return _rig.Bus.CallLogicalProcessor(ZpciGuestRig.ClpAddress);
    }
}
